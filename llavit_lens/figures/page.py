"""A figure addressed in inches from its top left corner, so that its parts keep their distances."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llavit_lens.figures.style import DARK, LITERAL


class Page:
    """A white figure of `width` x `height` inches."""

    def __init__(self, width: float, height: float) -> None:
        self.width, self.height = width, height
        # not through pyplot: no global state, no window, nothing to close
        self.figure = Figure(figsize=(width, height), dpi=150, facecolor="white")

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """New axes with the given place and size."""
        return self.figure.add_axes(
            (
                left / self.width,
                1 - (top + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )

    def text(
        self,
        left: float,
        top: float,
        text: str,
        *,
        size: float,
        color: str = DARK,
        weight: str = "normal",
        background: str | None = None,
        baseline: bool = False,
    ) -> None:
        """Literal text from `left` on, hanging from `top` or standing on it; `size` in points."""
        box = {"facecolor": background, "edgecolor": "none", "pad": 1.0} if background else None
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            text,
            fontsize=size,
            color=color,
            weight=weight,
            va="baseline" if baseline else "top",
            linespacing=1.35,
            bbox=box,
            **LITERAL,
        )

    def box(self, left: float, top: float, width: float, height: float, color: str) -> None:
        """A filled rectangle."""
        self.figure.add_artist(
            Rectangle(
                (left / self.width, 1 - (top + height) / self.height),
                width / self.width,
                height / self.height,
                transform=self.figure.transFigure,
                facecolor=color,
                edgecolor="none",
                zorder=0,
            )
        )

    def rule(self, left: float, top: float) -> None:
        """A thin line from `left` to the right margin."""
        self.box(left, top, self.width - left - 0.3, 0.008, "#d0d4d9")
