"""Stitched tiles, of which the model drops or merges some (LLaVA-OneVision, Granite Vision)."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt

import numpy as np
import torch
from transformers.models.llava_next.modeling_llava_next import unpad_image

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.boxes import Axis, check_tile_pixels, grid_of_tiles
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.stitched import checked_grid, stitched_tiles
from llavit_lens.vlm.families.tiles import tile_size
from llavit_lens.vlm.families.views import NO_PATCH, View, in_views, row_major

_UNCHANGED = 1.1
"""How many times wider and higher than allowed a grid may be before the model shrinks it."""


def granite(reading: Reading) -> VisualLayout:
    """As LLaVA-NeXT, with a window of patches for each token (a Q-Former for each window).

    Raises:
        ConfigurationError: windows do not fill a tile; or as `stitched_tiles`.
    """
    size = reading.inputs["pixel_values"].shape[-1]
    check_tile_pixels(reading.image_processor, size)
    patch = reading.processor.patch_size
    rate = Fraction(reading.processor.downsample_rate or 1)
    side = (size // patch) * rate
    if side.denominator != 1:
        raise ConfigurationError(
            f"windows of {1 / rate} patches do not fill tiles of {size // patch} patches"
        )
    return stitched_tiles(reading, "spatial_unpad", int(side), float(patch / rate))


def onevision(reading: Reading) -> VisualLayout:
    """As LLaVA-NeXT; but a grid much larger than `vision_aspect_ratio` allows is shrunk by
    interpolation, and several images in a prompt have one tile each, padded to a square.

    Raises:
        ConfigurationError: these are not the tiles or the visual tokens of such an image.
    """
    size, _ = tile_size(reading)
    patch = int(reading.config.vision_config.patch_size)
    side = size // patch
    if reading.inputs["pixel_values"].shape[1] == 1:
        return _square_with_newline(reading, side, patch / size)
    grid = checked_grid(reading)
    most = int(str(reading.processor.vision_aspect_ratio).removeprefix("anyres_max_"))
    kept = _kept_cells(reading.image_size, grid, side)
    rows, cols = kept.shape
    ratio = sqrt(rows * cols / (most * side**2))
    if ratio <= _UNCHANGED:
        return stitched_tiles(reading, "spatial_unpad", side, patch)
    top, left = divmod(int(kept[0, 0]), grid[1] * side)
    axes = grid_of_tiles(reading.image_size, (grid[1] * size, grid[0] * size))
    edges = tuple(
        _shrunk_edges(axis, first, count, int(count // ratio), (side, size, patch))
        for axis, first, count in zip(axes, (left, top), (cols, rows), strict=True)
    )
    x, y = edges
    fine = View((x[0], y[0], x[-1], y[-1]), len(y) - 1, len(x) - 1, edges=(x, y))
    width, height = reading.image_size
    seen = side * patch / size
    base = View((0.0, 0.0, width * seen, height * seen), side, side, whole=True)
    cells = row_major(1, fine.rows, fine.cols).reshape(fine.rows, fine.cols, 2)
    ends = np.broadcast_to(np.array(NO_PATCH), (fine.rows, 1, 2))
    stitched = np.concatenate([cells, ends], axis=1).reshape(-1, 2)
    order = np.concatenate([row_major(0, side, side), stitched])
    return in_views(reading, [base, fine], order)


def _kept_cells(image_size: tuple[int, int], grid: tuple[int, int], side: int) -> np.ndarray:
    """Indices of the cells of a grid of tiles that are no padding, as the model rounds them."""
    rows, cols = grid[0] * side, grid[1] * side
    cells = torch.arange(rows * cols).view(1, rows, cols)
    kept: np.ndarray = unpad_image(cells, image_size[::-1])[0].numpy()
    return kept


def _shrunk_edges(
    axis: Axis, first: int, count: int, fewer: int, tile: tuple[int, int, int]
) -> np.ndarray:
    """Edges in the original image of `count` cells from `first` on that are shrunk to `fewer`.

    `tile` is (cells on a side, pixels on a side, pixels of a cell): cells may leave out the last
    pixels of each tile.
    """
    side, size, patch = tile
    number, cell = np.divmod(first + np.arange(fewer + 1) * count / fewer, side)
    return axis.original(number * size + cell * patch)


def _square_with_newline(reading: Reading, side: int, cell: float) -> VisualLayout:
    """One tile: the image, padded to a square around its middle; and one newline after it."""
    width, height = reading.image_size
    longest = max(width, height)
    left, top = -((longest - width) // 2), -((longest - height) // 2)
    seen = longest * side * cell
    view = View((left, top, left + seen, top + seen), side, side)
    order = np.concatenate([row_major(0, side, side), [NO_PATCH]])
    return in_views(reading, [view], order)
