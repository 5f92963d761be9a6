"""An image in tiles that are put together to one larger grid (Any-Res): LLaVA-NeXT's layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.model.llava_processors import merge_type_of
from llavit_lens.model.tiles import NEWLINE, tile_grid, token_order
from llavit_lens.vlm.families.boxes import boxes_of, check_tile_pixels, grid_of_tiles, stretched
from llavit_lens.vlm.families.family import image_positions, unknown_layout


def stitched(
    inputs: Mapping[str, Any], processor: Any, config: Any, image_size: tuple[int, int]
) -> VisualLayout:
    """The layout of `pixel_values` [1, tiles, 3, height, width], with `image_sizes` [1, 2].

    Raises:
        ConfigurationError: the order of tokens is not known, or these are not the tiles or the
            visual tokens of such an image.
    """
    positions, sizes = image_positions(inputs, config), inputs["image_sizes"].tolist()
    merge_type = merge_type_of(processor)
    if merge_type is None:
        raise unknown_layout(processor)
    tiles, _, height, size = inputs["pixel_values"].shape[1:]
    patch = processor.patch_size
    check_tile_pixels(processor.image_processor, size)
    grid = tile_grid(image_size[::-1], processor.image_processor.image_grid_pinpoints, size)
    side = size // patch
    order = token_order(image_size[::-1], grid, side, merge_type).numpy()
    rows, cols = grid
    if sizes != [list(image_size[::-1])] or height != size or tiles != 1 + rows * cols:
        raise ConfigurationError(
            f"an image of (width, height) {image_size} makes a grid of {rows} x {cols} tiles and a "
            f"base tile, but the processor made {tiles} tiles of {height} x {size} pixels for "
            f"(height, width) {sizes}"
        )
    if len(order) != len(positions):
        raise ConfigurationError(
            f"{len(positions)} visual tokens are not the {len(order)} of {rows} x {cols} tiles "
            f"merged as {merge_type!r}: the processor's patch_size, image_grid_pinpoints or "
            "vision_feature_select_strategy does not fit the model"
        )
    is_patch = order != NEWLINE
    tile, cell = np.divmod(order[is_patch], side * side)
    row, col = np.divmod(cell, side)
    down, right = np.divmod(tile - 1, cols)
    base = boxes_of(col * patch, row * patch, patch, *stretched(image_size, (size, size)))
    fine = boxes_of(
        right * size + col * patch,
        down * size + row * patch,
        patch,
        *grid_of_tiles(image_size, (cols * size, rows * size)),
    )
    return VisualLayout(
        positions=positions[is_patch],
        tile=tile,
        row=row,
        col=col,
        grid=((side, side),) * tiles,
        image_size=image_size,
        boxes=np.where((tile == 0)[:, None], base, fine),
        off_image=positions[~is_patch],
    )
