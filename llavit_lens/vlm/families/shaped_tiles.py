"""An image in tiles that have shapes of their own, in patches (LFM2-VL, MiniCPM-V)."""

from __future__ import annotations

from collections.abc import Sequence

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading, own_function
from llavit_lens.vlm.families.tiles import Tile, partition, whole_tile
from llavit_lens.vlm.families.views import View, in_views, whole_region


def tiles_then_whole(reading: Reading) -> VisualLayout:
    """Equal tiles, then the whole image; or the image in one piece (LFM2-VL).

    Raises:
        ConfigurationError: these are not the tiles, or the visual tokens, of such an image.
    """
    every = []
    for size in reading.image_sizes:
        rows, cols = _lfm2_grid(reading, size)
        parts = partition(whole_region(size), rows, cols)
        whole = [whole_tile(size)] if len(parts) > 1 and reading.setting("use_thumbnail") else []
        every.append([*parts, *whole])
    return _shaped(reading, "spatial_shapes", every, int(reading.config.downsample_factor))


def whole_then_slices(reading: Reading) -> VisualLayout:
    """The whole image, then, if it is large, equal slices of it (MiniCPM-V).

    Raises:
        ConfigurationError: as `tiles_then_whole`.
    """
    every = []
    for size in reading.image_sizes:
        grid = None
        if reading.setting("slice_mode"):
            grid = reading.image_processor.get_sliced_grid(
                size[::-1], reading.setting("max_slice_nums"), reading.setting("scale_resolution")
            )
        slices = partition(whole_region(size), *grid) if grid else []
        every.append([whole_tile(size), *slices])
    side = 2 if reading.setting("downsample_mode") == "4x" else 4
    return _shaped(reading, "target_sizes", every, side)


def _shaped(
    reading: Reading, name: str, every: Sequence[Sequence[Tile]], side: int
) -> VisualLayout:
    """One view for each tile.

    Args:
        reading: the image.
        name: of the processor's (rows, cols) of patches for each tile of all images.
        every: the tiles of each image.
        side: patches on each side of a token; a last one that is not full is a token too.
    """
    shapes = reading.inputs[name].tolist() if name in reading.inputs else []
    expected = sum(len(tiles) for tiles in every)
    if len(shapes) != expected:
        raise ConfigurationError(
            f"images of (width, height) {list(reading.image_sizes)} make {expected} tiles, but "
            f"{type(reading.processor).__name__} returned {name} of {len(shapes)}: its settings "
            "were changed in a way that is not known here"
        )
    first = sum(len(tiles) for tiles in every[: reading.index])
    views = []
    for tile, (high, wide) in zip(every[reading.index], shapes[first:], strict=False):
        left, top, right, bottom = tile.region
        rows, cols = -(-high // side), -(-wide // side)
        right = left + (right - left) * cols * side / wide
        bottom = top + (bottom - top) * rows * side / high
        views.append(View((left, top, right, bottom), rows, cols, tile.whole))
    return in_views(reading, views)


def _lfm2_grid(reading: Reading, image_size: tuple[int, int]) -> tuple[int, int]:
    """(rows, cols) of the tiles of an image."""
    least, most = int(reading.setting("min_tiles")), int(reading.setting("max_tiles"))
    if not reading.setting("do_image_splitting") or least == most == 1:
        return 1, 1
    width, height = image_size
    patch, unit = (
        int(reading.setting("encoder_patch_size")),
        int(reading.setting("downsample_factor")),
    )
    token = patch * unit
    pixels = 1.0
    for length in image_size:
        pixels *= max(patch, round(length / token) * token)
    allowed = reading.setting("max_image_tokens") * token**2
    if pixels <= allowed * reading.setting("max_pixels_tolerance"):
        return 1, 1
    grids = [
        (cols, rows)
        for total in range(least, most + 1)
        for cols in range(1, total + 1)
        for rows in range(1, total + 1)
        if least <= cols * rows <= most
    ]
    # made as transformers makes it: of shapes that are as close, the first one counts
    by_area = sorted(set(grids), key=lambda grid: grid[0] * grid[1])
    cols, rows = own_function(reading.image_processor, "find_closest_aspect_ratio")(
        width / height, by_area, width, height, reading.setting("tile_size")
    )
    return int(rows), int(cols)
