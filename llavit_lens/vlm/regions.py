"""Which visual tokens show a part of the picture: given as cells, a box or a mask."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, cast

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.layout import VisualLayout

Cell = tuple[int, int] | tuple[int, int, int]
"""(row, column) in the grid of the first tile, or (row, column, tile)."""

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the original picture."""


class HasPositions(Protocol):
    """A region that knows itself which tokens show it."""

    def positions(self, layout: VisualLayout) -> np.ndarray:
        """int64, places in the token sequence."""
        ...


Region = Sequence[Cell] | Box | np.ndarray | HasPositions
"""Cells in an order of one's own, a box, a bool mask [height, width] of the picture's pixels, or an
object that knows its tokens."""

_COVERED = 0.5  # the part of a cell that a box or mask covers where the cell belongs to it


def cells_of(layout: VisualLayout, region: Region) -> np.ndarray:
    """Indices in 0..n-1 of the cells of a region: int64, in the given order or in the layout's.

    A cell belongs to a box or mask that covers at least half of what the cell shows. Where the
    model sees a picture in several tiles, these are cells of all tiles, the base tile too.

    Raises:
        ConfigurationError: a region without cells, cells that are not there or doubled, or a mask
            of another size than the picture.
    """
    if hasattr(region, "positions"):
        found = np.flatnonzero(
            np.isin(layout.positions, cast(HasPositions, region).positions(layout))
        )
    elif isinstance(region, np.ndarray) and region.dtype == bool:
        found = np.flatnonzero(_covered_by_mask(layout, region) >= _COVERED)
    elif is_box(region):
        found = np.flatnonzero(_covered_by_box(layout, cast(Box, region)) >= _COVERED)
    else:
        cells = [_cell(cell) for cell in cast(Sequence[Cell], region)]
        found = np.array([layout.index(*cell) for cell in cells], dtype=np.int64)
        if len(set(found.tolist())) < len(found):
            raise ConfigurationError(f"the same cell is named twice: {cells}")
    if len(found) == 0:
        width, height = layout.image_size
        raise ConfigurationError(
            f"the region {_told(region)} holds no patch: none is covered by half (the picture has "
            f"{width} x {height} pixels, and the model's patches are of "
            f"{' x '.join(f'{edge:.4g}' for edge in _cell_size(layout))})"
        )
    return found


def is_box(region: Any) -> bool:
    """Whether it is a rectangle of pixels: four numbers, or an object with four edges."""
    if hasattr(region, "positions"):
        return hasattr(region, "left")
    return len(region) == 4 and all(isinstance(edge, int | float | np.number) for edge in region)


def shape_of(layout: VisualLayout, cells: np.ndarray) -> list[tuple[int, int, int]]:
    """(tile, row, column) of the cells, each counted from the first of theirs: alike for regions of
    one shape at two places."""
    places = []
    for number, tile in enumerate(dict.fromkeys(layout.tile[cells].tolist())):
        own = cells[layout.tile[cells] == tile]
        row, col = layout.row[own], layout.col[own]
        places += [
            (number, int(r), int(c)) for r, c in zip(row - row.min(), col - col.min(), strict=True)
        ]
    return places


def _cell(cell: Cell) -> Cell:
    if not isinstance(cell, Sequence) or len(cell) not in (2, 3) or isinstance(cell, str):
        raise ConfigurationError(
            f"{cell!r} is no cell: give cells as (row, column) or (row, column, tile), a box as "
            "(left, top, right, bottom) in pixels, or a mask as a bool array [height, width]"
        )
    return cell


def _covered_by_box(layout: VisualLayout, box: Box) -> np.ndarray:
    """float64 [n], the part of each cell inside a box; 0 for cells that show only padding."""
    left, top, right, bottom = layout.boxes.T
    across = np.minimum(right, box[2]) - np.maximum(left, box[0])
    down = np.minimum(bottom, box[3]) - np.maximum(top, box[1])
    area = (right - left) * (bottom - top)
    inside = np.clip(across, 0, None) * np.clip(down, 0, None)
    return np.divide(inside, area, out=np.zeros_like(area), where=area > 0)


def _covered_by_mask(layout: VisualLayout, mask: np.ndarray) -> np.ndarray:
    """float64 [n], the part of each cell's pixels that the mask holds."""
    width, height = layout.image_size
    if mask.shape != (height, width):
        raise ConfigurationError(
            f"the mask has shape {list(mask.shape)}; the picture's is [{height}, {width}], height "
            "first"
        )
    return np.array([_covered_pixels(mask, box) for box in layout.boxes])


def _covered_pixels(mask: np.ndarray, box: np.ndarray) -> float:
    """The mean of a mask over a box with fractions of pixels."""
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return 0.0
    columns, rows = _weights(left, right, mask.shape[1]), _weights(top, bottom, mask.shape[0])
    return float(rows @ mask @ columns / ((right - left) * (bottom - top)))


def _weights(start: float, end: float, length: int) -> np.ndarray:
    """How much of each pixel lies between two edges."""
    pixels = np.arange(length)
    return np.clip(np.minimum(pixels + 1, end) - np.maximum(pixels, start), 0, None)


def _cell_size(layout: VisualLayout) -> tuple[float, float]:
    """Width and height of the largest cell in pixels."""
    sides = layout.boxes[:, 2:] - layout.boxes[:, :2]
    return float(sides[:, 0].max(initial=0)), float(sides[:, 1].max(initial=0))


def _told(region: Region) -> str:
    return "of the mask" if isinstance(region, np.ndarray) else repr(region)
