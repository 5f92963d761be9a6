"""A figure drawn from top to bottom in inches, so that its parts keep their distances."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.transforms import Affine2D

from llavit_lens.figures.figure import Figure
from llavit_lens.figures.fit import wrap
from llavit_lens.figures.style import BOLD_WIDTH, DARK, LITERAL, MUTED

EDGE = 0.3  # inches, the margin on all sides
TITLE, TEXT = 17.0, 11.0  # points
_LINE = 1.32 / 72  # inches of a line of text, for each point of font size


class Page:
    """A white figure of `width` inches. Places are inches from its top left corner.

    What is drawn may lie at any depth: `finish` makes the page as tall as it has to be.

    Attributes:
        figure: the figure.
        inches: transform from (inches from the left, inches from the top).
    """

    def __init__(self, width: float) -> None:
        self.width = width
        # not through pyplot: no global state, no window, nothing to close
        self.figure = Figure(dpi=150, facecolor="white")
        self._upwards = Affine2D()
        self.inches = self._upwards + self.figure.dpi_scale_trans
        self._axes: list[tuple[Axes, tuple[float, float, float, float]]] = []
        self.finish(1.0)

    def finish(self, height: float) -> Figure:
        """Make the page `height` inches tall, and return its figure."""
        self.height = height
        self.figure.set_size_inches(self.width, height)
        self._upwards.clear().scale(1, -1).translate(0, height)
        for axes, box in self._axes:
            axes.set_position(self._fractions(*box))
        return self.figure

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """New axes with the given place and size."""
        box = left, top, width, height
        axes = self.figure.add_axes(self._fractions(*box))
        self._axes.append((axes, box))
        return axes

    def _fractions(
        self, left: float, top: float, width: float, height: float
    ) -> tuple[float, float, float, float]:
        """(left, bottom, width, height) as matplotlib counts: from the foot, as shares."""
        return (
            left / self.width,
            1 - (top + height) / self.height,
            width / self.width,
            height / self.height,
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
        outline: str | None = None,
        baseline: bool = False,
    ) -> None:
        """Literal text from `left` on, hanging from `top` or standing on it; `size` in points."""
        box = None
        if background or outline:
            box = {
                "facecolor": background or "none",
                "edgecolor": outline or "none",
                "linewidth": 1.5,
                "pad": 1.0,
            }
        self.figure.text(
            left,
            top,
            text,
            transform=self.inches,
            fontsize=size,
            color=color,
            weight=weight,
            va="baseline" if baseline else "top",
            linespacing=1.35,
            bbox=box,
            **LITERAL,
        )

    def paragraph(
        self,
        left: float,
        top: float,
        text: str,
        *,
        size: float = TEXT,
        width: float | None = None,
        color: str = MUTED,
        weight: str = "normal",
    ) -> float:
        """Text in lines of at most `width` inches, by default to the margin. Returns its end."""
        room = 72 * (self.width - EDGE - left if width is None else width)
        lines = wrap(text, room / BOLD_WIDTH if weight == "bold" else room, size)
        self.text(left, top, lines, size=size, color=color, weight=weight)
        return top + _LINE * size * len(lines.splitlines())

    def heading(self, title: str, *about: str, size: float = TITLE) -> float:
        """A headline at the top, and a paragraph for each text about it. Returns their end.

        The headline is the figure's title. What a caption says goes to `figure.caption`.
        """
        self.figure.title = title
        top = self.paragraph(EDGE, EDGE, title, size=size, color=DARK, weight="bold") + 0.06
        for text in about:
            top = self.paragraph(EDGE, top, text)
        return top

    def box(self, left: float, top: float, width: float, height: float, color: str) -> None:
        """A filled rectangle, below all text."""
        self.figure.add_artist(
            Rectangle(
                (left, top),
                width,
                height,
                transform=self.inches,
                facecolor=color,
                edgecolor="none",
                zorder=0,
            )
        )

    def rule(self, left: float, top: float, width: float | None = None) -> None:
        """A thin line, by default to the right margin."""
        self.box(left, top, self.width - EDGE - left if width is None else width, 0.008, "#d0d4d9")
