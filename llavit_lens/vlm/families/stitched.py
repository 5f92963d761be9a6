"""An image in tiles that are put together to one larger grid (Any-Res): LLaVA-NeXT's layout."""

from __future__ import annotations

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.model.llava_processors import merge_type_of
from llavit_lens.model.tiles import NEWLINE, tile_grid, token_order
from llavit_lens.vlm.families.boxes import boxes_of, check_tile_pixels, grid_of_tiles, stretched
from llavit_lens.vlm.families.reading import Reading, unknown_layout


def stitched(reading: Reading) -> VisualLayout:
    """The layout of LLaVA-NeXT and LLaViT: as `stitched_tiles`.

    Raises:
        ConfigurationError: the order of tokens is not known; or as `stitched_tiles`.
    """
    processor = reading.processor
    merge_type = merge_type_of(processor)
    if merge_type is None:
        raise unknown_layout(processor)
    size = reading.inputs["pixel_values"].shape[-1]
    check_tile_pixels(processor.image_processor, size)
    patch = processor.patch_size
    return stitched_tiles(reading, merge_type, size // patch, patch)


def stitched_tiles(reading: Reading, merge_type: str, side: int, patch: float) -> VisualLayout:
    """The layout of `pixel_values` [images, tiles, 3, height, width], `image_sizes` [images, 2].

    Images with fewer tiles than the others are filled up with tiles that no token is made of.

    Args:
        reading: the image.
        merge_type: how tiles are put together: see `token_order`.
        side: tokens on each side of a tile.
        patch: pixels of a tile on each side of a token.

    Raises:
        ConfigurationError: these are not the tiles or the visual tokens of such an image.
    """
    image_size = reading.image_size
    size = reading.inputs["pixel_values"].shape[-1]
    grid = rows, cols = checked_grid(reading)
    order = token_order(image_size[::-1], grid, side, merge_type).numpy()
    positions = reading.take(len(order))
    if positions is None:
        raise ConfigurationError(
            f"{len(reading.positions)} visual tokens are not the {len(order)} of {rows} x {cols} "
            f"tiles merged as {merge_type!r}: the processor's patch_size, image_grid_pinpoints or "
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
        grid=((side, side),) * (1 + rows * cols),
        image_size=image_size,
        boxes=np.where((tile == 0)[:, None], base, fine),
        off_image=positions[~is_patch],
    )


def checked_grid(reading: Reading) -> tuple[int, int]:
    """(rows, cols) of an image's tiles without the base tile.

    Raises:
        ConfigurationError: the processor made other tiles, or of another image.
    """
    image_size = reading.image_size
    tiles, _, height, size = reading.inputs["pixel_values"].shape[1:]
    pinpoints = reading.setting("image_grid_pinpoints")
    grids = [tile_grid(each[::-1], pinpoints, size) for each in reading.image_sizes]
    grid = rows, cols = grids[reading.index]
    sizes = reading.row("image_sizes")
    expected = 1 + max(down * right for down, right in grids)
    if sizes != list(image_size[::-1]) or height != size or tiles != expected:
        raise ConfigurationError(
            f"an image of (width, height) {image_size} makes a grid of {rows} x {cols} tiles and a "
            f"base tile, but the processor made {tiles} tiles of {height} x {size} pixels for "
            f"(height, width) {sizes}"
        )
    return grid
