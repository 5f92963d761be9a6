"""A bar of colors and what they mean."""

from __future__ import annotations

from collections.abc import Mapping

from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, Normalize

from llavit_lens.figures.page import Page
from llavit_lens.figures.style import DARK


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
    if ticks is not None:
        bar.set_ticks(list(ticks), labels=list(ticks.values()))
    axes.tick_params(labelsize=9, length=2)
    return page.paragraph(left, top + 0.4, meaning, size=10, color=DARK)
