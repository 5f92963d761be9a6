"""Where the visual tokens of an image lie, read off what its processor returned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.model.llava_processors import makes_tiles, merge_type_of
from llavit_lens.model.tiles import NEWLINE, tile_grid, token_order
from llavit_lens.vlm.boxes import (
    boxes_of,
    check_tile_pixels,
    grid_of_tiles,
    stretched,
    whole_picture,
)


def layout_of(
    inputs: Mapping[str, Any],
    processor: Any,
    image_token_id: int,
    image_size: tuple[int, int],
) -> VisualLayout:
    """Layout of the one image in `inputs`, for models of the LLaVA, LLaVA-NeXT and LLaViT families.

    Args:
        inputs: what the processor returned: `input_ids` [1, seq], `pixel_values`
            [1, 3, height, width], or [1, tiles, 3, height, width] with `image_sizes` [1, 2], and,
            where the family has them, `mm_token_type_ids` [1, seq] (1 = image).
        processor: the processor that made them.
        image_token_id: the placeholder's id, used when there are no `mm_token_type_ids`.
        image_size: (width, height) of the original image.

    Raises:
        ConfigurationError: the family lays its tokens out in a way that is not known here, or the
            visual tokens are not those of such an image.
    """
    shape = tuple(inputs["pixel_values"].shape)
    patch = getattr(processor, "patch_size", None)
    tiled = makes_tiles(getattr(processor, "image_processor", None))
    merge_type = merge_type_of(processor) if tiled else "one tile"
    if len(shape) != (5 if tiled else 4) or shape[0] != 1 or not patch or not merge_type:
        raise ConfigurationError(
            f"{type(processor).__name__} lays visual tokens out in a way that is not known here; "
            "use a model of the LLaVA, LLaVA-NeXT or LLaViT family"
        )
    if "mm_token_type_ids" in inputs:
        visual = inputs["mm_token_type_ids"][0] == 1
    else:
        visual = inputs["input_ids"][0] == image_token_id
    positions = np.flatnonzero(visual.cpu().numpy()).astype(np.int64)
    if tiled:
        sizes = inputs["image_sizes"].tolist()
        return _tiled(positions, shape[1:], sizes, processor, merge_type, image_size)
    return _whole(positions, shape[2:], processor, image_size)


def _whole(
    positions: np.ndarray, shape: tuple[int, ...], processor: Any, image_size: tuple[int, int]
) -> VisualLayout:
    """An image in one grid of patches, made of pixels of (height, width) `shape`."""
    height, width = shape
    patch = processor.patch_size
    rows, cols = height // patch, width // patch
    extra = len(positions) - rows * cols
    # A class token, where the model keeps it, comes first and lies nowhere on the picture.
    if extra not in {0, getattr(processor, "num_additional_image_tokens", 0)}:
        raise ConfigurationError(
            f"{len(positions)} visual tokens do not fill a grid of {rows} x {cols} patches: "
            "the processor's patch_size or vision_feature_select_strategy does not fit the model"
        )
    row, col = (axis.ravel().astype(np.int64) for axis in np.indices((rows, cols)))
    axes = whole_picture(processor.image_processor, image_size, (width, height))
    return VisualLayout(
        positions=positions[extra:],
        tile=np.zeros_like(row),
        row=row,
        col=col,
        grid=((rows, cols),),
        image_size=image_size,
        boxes=boxes_of(col * patch, row * patch, patch, *axes),
        off_image=positions[:extra],
    )


def _tiled(
    positions: np.ndarray,
    shape: tuple[int, ...],
    sizes: list[list[int]],
    processor: Any,
    merge_type: str,
    image_size: tuple[int, int],
) -> VisualLayout:
    """An image in tiles (Any-Res) of pixels `shape` [tiles, 3, height, width].

    `sizes` is what the processor returned as `image_sizes`.
    """
    tiles, _, height, size = shape
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
