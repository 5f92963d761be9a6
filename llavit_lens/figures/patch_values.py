"""A number on every patch: the image in gray, and each patch tinted by its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Colormap, Normalize
from matplotlib.patches import Rectangle
from PIL import Image

from llavit_lens.figures.patch_grid import draw_image
from llavit_lens.figures.style import DARK, LIGHT

if TYPE_CHECKING:
    from llavit_lens.images.layout import Tile, VisualLayout

_FADED = 0.35  # how much of the image is white, so that colors stand out


def draw_values(
    ax: Axes,
    image: Image.Image,
    layout: VisualLayout,
    values: np.ndarray,
    scale: Normalize,
    palette: Colormap,
    tile: Tile | None = None,
) -> None:
    """Tint the patches of one tile, or of the grid of tiles, on the gray image.

    Args:
        values: [n], one for each visual token; NaN leaves a patch as it is.
        palette: clear where there is nothing, so that the image is seen (`TINT`, `TWO_TINTS`).
    """
    gray = image.convert("L")
    draw_image(ax, Image.blend(gray, Image.new("L", gray.size, 255), _FADED), layout)
    cells = layout.cells_drawn(tile)
    cells = cells[layout.on_image[cells] & ~np.isnan(values[cells])]
    corners = [[(x0, y0), (x1, y0), (x1, y1), (x0, y1)] for x0, y0, x1, y1 in layout.boxes[cells]]
    colors = palette(scale(values[cells]))
    ax.add_collection(
        PolyCollection(corners, facecolors=colors, edgecolors=(0, 0, 0, 0.12), linewidths=0.4),
        autolim=False,
    )


def outline(ax: Axes, box: Sequence[float] | np.ndarray, color: str = LIGHT) -> None:
    """A frame around a box in pixels, to be seen on any color."""
    left, top, right, bottom = (float(edge) for edge in box)
    for line, edge in ((3.4, DARK), (1.8, color)):
        ax.add_patch(
            Rectangle(
                (left, top), right - left, bottom - top, fill=False, edgecolor=edge, linewidth=line
            )
        )


def tiles_of(layout: VisualLayout) -> list[tuple[Tile, str]]:
    """What is drawn of an image: its one tile, or the whole image and the tiles together."""
    if len(layout.grid) == 1:
        return [(0, "")]
    views: list[Tile] = [layout.view] if layout.whole is None else [layout.view, "grid"]
    return [(tile, layout.tile_name(tile)) for tile in views]
