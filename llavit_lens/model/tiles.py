"""Any-Res (LLaVA-NeXT): which tiles an image is cut into, and in which order their patches stand.

Tile 0, the base tile, is the whole image, stretched to the vision tower's square. The image is
also resized to one of several resolutions ("pinpoints"), padded, and cut into tiles 1, 2, … in
reading order. One function gives the order of tokens; processor, model and layout all follow it.

Shape letters: C patches in a row of indices, Y and X rows and columns of patches.

Some steps call transformers' own functions on purpose: they define LLaVA-NeXT.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.models.llava_next.modeling_llava_next import (
    get_anyres_image_grid_shape,
    unpad_image,
)

from llavit_lens.errors import ConfigurationError

MERGE_TYPES = ("flat", "spatial", "spatial_unpad")

NEWLINE = -1
"""The entry of an order for the learned token that ends a row of patches."""

# (rows, columns) of tiles: at 336 pixels a tile, the five resolutions of LLaVA-NeXT.
_SHAPES = ((1, 2), (2, 1), (2, 2), (3, 1), (1, 3))


def default_pinpoints(tile_size: int) -> list[list[int]]:
    """(height, width) in pixels of LLaVA-NeXT's five resolutions: at most 2 x 2 or 3 tiles."""
    return [[rows * tile_size, cols * tile_size] for rows, cols in _SHAPES]


def are_pairs(value: Any) -> bool:
    """Whether a value is a list of pairs of whole numbers, as pinpoints are."""
    return isinstance(value, list) and all(
        isinstance(pair, (list, tuple)) and [type(edge) for edge in pair] == [int, int]
        for pair in value
    )


def check_pinpoints(pinpoints: Sequence[Sequence[int]], tile_size: int) -> None:
    """Raise ConfigurationError unless each is a (height, width) of whole tiles, and there is one.

    (The original LLaVA writes them as (width, height).)
    """
    good = bool(pinpoints) and all(
        len(pinpoint) == 2 and all(edge > 0 and edge % tile_size == 0 for edge in pinpoint)
        for pinpoint in pinpoints
    )
    if not good:
        raise ConfigurationError(
            f"image_grid_pinpoints={pinpoints!r}: give (height, width) pairs, in multiples of the "
            f"vision tower's {tile_size} pixels"
        )


def tile_grid(
    image_size: Sequence[int], pinpoints: Sequence[Sequence[int]], tile_size: int
) -> tuple[int, int]:
    """(rows, columns) of the tiles without the base tile, for an image of (height, width)."""
    check_pinpoints(pinpoints, tile_size)
    resolutions = [list(pinpoint) for pinpoint in pinpoints]
    return get_anyres_image_grid_shape(tuple(image_size), resolutions, tile_size)


def token_order(
    image_size: Sequence[int], grid: tuple[int, int], side: int, merge_type: str
) -> Tensor:
    """The visual tokens of one image, as indices of patches: int64 [tokens].

    Patches are counted tile by tile, each tile in reading order: tile t, row r, column c is
    (t * side + r) * side + c. The base tile's come first, in any case. Then, by `merge_type`:
        flat: tile after tile;
        spatial: the rows of the whole grid of tiles;
        spatial_unpad: the same without the rows or columns that are padding, as transformers'
            `unpad_image` rounds them, and NEWLINE at the end of each row.

    Args:
        image_size: (height, width) of the image.
        grid: (rows, columns) of tiles, as `tile_grid` gives it.
        side: patches on each side of a tile.
    """
    rows, cols = grid
    base_C, tiles_C = torch.arange((1 + rows * cols) * side * side).tensor_split([side * side])
    if merge_type != "flat":
        cells_YX = tiles_C.view(rows, cols, side, side).transpose(1, 2)
        cells_YX = cells_YX.reshape(rows * side, cols * side)
        if merge_type == "spatial_unpad":
            cells_YX = unpad_image(cells_YX[None], tuple(image_size))[0]
            ends_Y1 = torch.full((cells_YX.shape[0], 1), NEWLINE)
            cells_YX = torch.cat([cells_YX, ends_Y1], dim=1)
        tiles_C = cells_YX.flatten()
    return torch.cat([base_C, tiles_C])
