"""A bar of colors and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.labels import end_of_scale, same_decimals, value_name
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import DARK, TINT

Scale = Literal["data", "fixed"]
"""Where a scale of colors ends: "data", at the largest value of the figure; "fixed", at 1 (100 %),
so that figures compare. It starts at 0, or at the smallest value below."""


def value_scale(kind: str, values: Sequence[float], scale: Scale = "data") -> Normalize:
    """The scale of the colors for the values of a figure, probabilities or cosines.

    Raises:
        ConfigurationError: `scale` is neither "data" nor "fixed".
    """
    if scale not in ("data", "fixed"):
        raise ConfigurationError(f"scale is {scale!r}, but must be 'data' or 'fixed'")
    start = min(0.0, *values) if kind == "input_similarity" else 0.0
    end = 1.0 if scale == "fixed" else max(*values, 1e-9)
    return Normalize(start, end, clip=True)


def draw_value_scale(
    page: Page, left: float, top: float, kind: str, norm: Normalize, scale: Scale, width: float
) -> float:
    """The bar of a `value_scale`, with both ends named. Returns where it ends."""
    start, end = float(norm.vmin or 0.0), float(norm.vmax or 1.0)
    at = (start, (start + end) / 2, end)
    names = same_decimals(at) if kind == "logit_lens" else [end_of_scale(each, kind) for each in at]
    why = "the highest value here" if scale == "data" else "the same in all figures"
    return draw_color_scale(
        page,
        left,
        top,
        norm,
        TINT,
        f"{value_name(kind)}; the scale ends at {end_of_scale(end, kind)}, {why}",
        width,
        ticks=dict(zip(at, names, strict=True)),
    )


def draw_color_scale(
    page: Page,
    left: float,
    top: float,
    scale: Normalize,
    palette: Colormap,
    meaning: str,
    width: float = 3.2,
    ticks: Mapping[float, str] | None = None,
) -> float:
    """Draw the bar, `width` inches long, and its meaning below it. Returns where that ends.

    Args:
        ticks: names of values; default: the values that matplotlib chooses.
    """
    axes = page.axes(left, top, width, 0.14)
    bar = page.figure.colorbar(ScalarMappable(scale, palette), cax=axes, orientation="horizontal")
    bar.outline.set_visible(False)
    if bar.solids is not None:
        bar.solids.set_edgecolor("none")  # the edges of clear colors would show as stripes
    if ticks is not None:
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
    axes.tick_params(labelsize=9, length=2)
    return page.paragraph(left, top + 0.4, meaning, size=10, width=width, color=DARK)
