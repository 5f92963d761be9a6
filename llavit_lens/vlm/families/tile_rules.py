"""How families cut an image into tiles: each rule retells the steps of one image processor.

Where transformers has a public function for a step, it is called as the installed version has it.
"""

from __future__ import annotations

from itertools import product
from math import ceil, floor

import torch
from transformers.image_utils import SizeDict

from llavit_lens.vlm.families.reading import Reading, own_function
from llavit_lens.vlm.families.tiles import Tile, partition, tile_size, whole_tile
from llavit_lens.vlm.families.views import whole_region


def one_tile(reading: Reading, image_size: tuple[int, int]) -> list[Tile]:
    """One tile: the whole image, stretched."""
    tile_size(reading)
    return [whole_tile(image_size)]


def canvas(reading: Reading, image_size: tuple[int, int]) -> list[Tile]:
    """The canvas of tiles whose shape comes closest, then the whole image (InternVL and kin)."""
    return _stretched_tiles(reading, image_size, *_canvas_grid(reading, image_size))


def covering(reading: Reading, image_size: tuple[int, int]) -> list[Tile]:
    """The whole image, then as few tiles as cover it well (Ovis2)."""
    side, _ = tile_size(reading)
    rows = cols = 1
    if reading.setting("crop_to_patches") and reading.setting("max_patches") > 1:
        if reading.setting("use_covering_area_grid"):
            cols, rows = own_function(reading.image_processor, "get_min_tile_covering_grid")(
                image_size[::-1],
                target_patch_size=side,
                max_image_tiles=reading.setting("max_patches"),
            )
        else:
            rows, cols = _canvas_grid(reading, image_size)
    parts = _stretched_tiles(reading, image_size, rows, cols)
    return [*parts[-1:], *parts[:-1]]


def splits(reading: Reading, image_size: tuple[int, int]) -> list[Tile]:
    """A larger version of the image in tiles, then the whole image (Idefics3, SmolVLM)."""
    if not reading.setting("do_image_splitting"):
        return [whole_tile(image_size)]
    width, height = image_size
    side = int(reading.setting("max_image_size")["longest_edge"])
    if reading.setting("do_resize"):
        longest = reading.setting("size").get("longest_edge")
        if longest:
            height, width = own_function(reading.image_processor, "get_resize_output_image_size")(
                torch.empty(3, height, width, device="meta"), resolution_max_side=longest
            )
        else:
            height, width = (int(reading.setting("size")[key]) for key in ("height", "width"))
    shape = width / height
    if width >= height:
        width = ceil(width / side) * side
        height = ceil(int(width / shape) / side) * side
    else:
        height = ceil(height / side) * side
        width = ceil(int(height * shape) / side) * side
    return _stretched_tiles(reading, image_size, height // side, width // side)


def fitted(reading: Reading, image_size: tuple[int, int]) -> list[Tile]:
    """The image fitted into a canvas of tiles and padded right and below, then the whole image
    (Llama 4)."""
    image_processor = reading.image_processor
    height, width = tile_size(reading)
    original = image_size[::-1]
    resolutions = own_function(image_processor, "find_supported_resolutions")(
        max_num_chunks=reading.setting("max_patches"),
        patch_size=SizeDict(height=height, width=width),
    )
    to_largest = reading.setting("resize_to_max_canvas")
    target = own_function(image_processor, "get_best_fit")(
        original, torch.tensor(resolutions), resize_to_max_canvas=to_largest
    ).tolist()
    within = target
    if not to_largest:
        within = [
            min(max(side, height), limit) for side, limit in zip(original, target, strict=True)
        ]
    inner = own_function(image_processor, "get_max_res_without_distortion")(original, within)
    down, across = (outer / max(filled, 1) for outer, filled in zip(target, inner, strict=True))
    region = (0.0, 0.0, image_size[0] * across, image_size[1] * down)
    rows, cols = target[0] // height, target[1] // width
    parts = partition(region, rows, cols)
    return parts if len(parts) == 1 else [*parts, whole_tile(image_size)]


def pan_and_scan(reading: Reading, image_size: tuple[int, int]) -> list[Tile]:
    """The whole image, then, if asked for, crops along its longer side (Gemma 3)."""
    tile_size(reading)
    whole = whole_tile(image_size)
    if not reading.setting("do_pan_and_scan", False):
        return [whole]
    width, height = image_size
    smallest = reading.setting("pan_and_scan_min_crop_size")
    long, short = max(image_size), min(image_size)
    if long / short < reading.setting("pan_and_scan_min_ratio_to_activate"):
        return [whole]
    count = max(2, min(long // smallest, floor(long / short + 0.5)))
    count = min(reading.setting("pan_and_scan_max_num_crops"), count)
    cols, rows = (count, 1) if width >= height else (1, count)
    wide, high = ceil(width / cols), ceil(height / rows)
    if min(wide, high) < smallest:
        return [whole]
    crops = [
        Tile(
            (
                float(col * wide),
                float(row * high),
                float(min((col + 1) * wide, width)),
                float(min((row + 1) * high, height)),
            )
        )
        for row, col in product(range(rows), range(cols))
    ]
    return [whole, *crops]


def _canvas_grid(reading: Reading, image_size: tuple[int, int]) -> tuple[int, int]:
    """(rows, cols) of the tiles that an image is cut into."""
    if not reading.setting("crop_to_patches") or reading.setting("max_patches") <= 1:
        return 1, 1
    cols, rows = own_function(reading.image_processor, "get_optimal_tiled_canvas")(
        image_size[::-1],
        tile_size(reading),
        reading.setting("min_patches"),
        reading.setting("max_patches"),
    )
    return int(rows), int(cols)


def _stretched_tiles(
    reading: Reading, image_size: tuple[int, int], rows: int, cols: int
) -> list[Tile]:
    """The image stretched onto rows x cols tiles, then the whole image if they are several."""
    if rows * cols == 1:
        return [whole_tile(image_size)]
    return [*partition(whole_region(image_size), rows, cols), whole_tile(image_size)]
