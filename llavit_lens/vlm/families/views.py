"""An image as a model sees it: in views, each of them one grid over a region of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import Precision, VisualLayout
from llavit_lens.vlm.families.reading import Reading

Region = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the original image; may reach beyond it."""

NO_PATCH = (-1, -1)
"""The entry of an order for a visual token that is no patch: a newline, the end of a row."""


@dataclass(frozen=True)
class View:
    """A part of an image that a model sees as one grid of cells.

    Attributes:
        region: what the grid covers, in pixels of the original image. It reaches beyond the image
            where the model sees padding.
        rows, cols: how many cells it has.
        whole: whether it shows the whole image, beside views of parts of it.
        edges: float64 [cols + 1] and [rows + 1], where columns and rows of cells begin and end in
            the original image; None where all are of one size.
    """

    region: Region
    rows: int
    cols: int
    whole: bool = False
    edges: tuple[np.ndarray, np.ndarray] | None = None


def whole_region(image_size: tuple[int, int]) -> Region:
    """The region of a whole image of (width, height)."""
    return (0.0, 0.0, float(image_size[0]), float(image_size[1]))


def row_major(view: int, rows: int, cols: int) -> np.ndarray:
    """The order of all cells of one view, row by row: int64 [rows * cols, 2]."""
    cells = np.arange(rows * cols, dtype=np.int64)
    return np.stack([np.full_like(cells, view), cells], axis=1)


def in_views(
    reading: Reading,
    views: Sequence[View],
    order: np.ndarray | None = None,
    *,
    precision: Precision = "exact",
) -> VisualLayout:
    """The layout of an image that is seen in these views.

    Args:
        reading: the image.
        views: in the order of their tiles.
        order: int64 [tokens, 2], for each visual token of the image in the order of the sequence
            its (view, cell), with cells in row-major order, or `NO_PATCH`. Without it, the views
            follow each other, each row by row.
        precision: how the regions are known.

    Raises:
        ConfigurationError: the image has more or fewer visual tokens, or no cell is on it.
    """
    if order is None:
        every = [row_major(i, view.rows, view.cols) for i, view in enumerate(views)]
        order = np.concatenate(every)
    positions = reading.take(len(order))
    if positions is None:
        grids = " and ".join(f"{view.rows} x {view.cols}" for view in views[:3])
        more = f" and {len(views) - 3} more" if len(views) > 3 else ""
        raise ConfigurationError(
            f"{len(reading.positions)} visual tokens are not the {len(order)} of {grids}{more} "
            f"patches: the settings of {type(reading.processor).__name__} do not fit the model"
        )
    is_patch = order[:, 0] >= 0
    view, cell = order[is_patch].T
    boxes = _boxes(views, view, cell, reading.image_size)
    if not ((boxes[:, 0] < boxes[:, 2]) & (boxes[:, 1] < boxes[:, 3])).any():
        raise ConfigurationError(
            f"no patch of an image of (width, height) {reading.image_size} lies on it"
        )
    cols = np.array([one.cols for one in views])[view]
    wholes = [i for i, one in enumerate(views) if one.whole]
    return VisualLayout(
        positions=positions[is_patch],
        tile=view,
        row=cell // cols,
        col=cell % cols,
        grid=tuple((one.rows, one.cols) for one in views),
        image_size=reading.image_size,
        boxes=boxes,
        off_image=positions[~is_patch],
        whole=0 if len(views) == 1 else (wholes[0] if len(wholes) == 1 else None),
        precision=precision,
    )


def _boxes(
    views: Sequence[View], view: np.ndarray, cell: np.ndarray, image_size: tuple[int, int]
) -> np.ndarray:
    """float64 [n, 4]: the boxes of cells, cut at the borders of the image."""
    boxes = np.empty((len(view), 4))
    for number, one in enumerate(views):
        left, top, right, bottom = one.region
        even = np.linspace(left, right, one.cols + 1), np.linspace(top, bottom, one.rows + 1)
        x, y = (
            edges.clip(0, length)
            for edges, length in zip(one.edges or even, image_size, strict=True)
        )
        mine = view == number
        row, col = np.divmod(cell[mine], one.cols)
        boxes[mine] = np.stack([x[col], y[row], x[col + 1], y[row + 1]], axis=1)
    return boxes


def grid_of(tokens: int, height: int, width: int) -> tuple[int, int]:
    """(rows, cols) of `tokens` square cells that fill `height` x `width` pixels.

    Raises:
        ConfigurationError: no such grid has that many cells.
    """
    rows = round((tokens * height / width) ** 0.5)
    cols = tokens // max(rows, 1)
    if tokens < 1 or rows * cols != tokens or rows * width != cols * height:
        raise ConfigurationError(
            f"{tokens} visual tokens are no grid of square patches on {height} x {width} pixels"
        )
    return rows, cols


def patch_size(config: Any) -> int | None:
    """Pixels on each side of a patch, as a vision tower's config says it; None if it does not."""
    found: Any = getattr(getattr(config, "vision_config", None), "patch_size", None)
    if isinstance(found, list | tuple) and len(set(found)) == 1:
        found = found[0]
    return found if isinstance(found, int) else None


def seen_part(region: Region, config: Any, height: int, width: int) -> Region:
    """The part of a region that a vision tower sees of it, as `height` x `width` pixels.

    It cuts patches from the top left, and the pixels that fill no whole patch at the end are lost.
    """
    patch = patch_size(config)
    if patch is None or height < patch or width < patch:
        return region
    left, top, right, bottom = region
    across, down = (length // patch * patch / length for length in (width, height))
    return (left, top, left + (right - left) * across, top + (bottom - top) * down)
