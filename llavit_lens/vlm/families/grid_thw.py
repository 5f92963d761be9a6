"""An image in one grid whose shape the processor returns as `image_grid_thw` (Qwen-VL and kin)."""

from __future__ import annotations

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading, own_function
from llavit_lens.vlm.families.views import Region, View, in_views, whole_region


def merged_grid(reading: Reading) -> tuple[int, int]:
    """(rows, cols) of visual tokens: `image_grid_thw` counts patches, a square of them a token.

    Raises:
        ConfigurationError: it is no image, or its patches do not fill whole tokens.
    """
    frames, height, width = reading.row("image_grid_thw")
    merge = _merge_size(reading)
    if frames != 1 or height % merge or width % merge:
        raise ConfigurationError(
            f"image_grid_thw of {frames} x {height} x {width} patches is no image in tokens of "
            f"{merge} x {merge} patches"
        )
    return height // merge, width // merge


def _merge_size(reading: Reading) -> int:
    """How many patches, along each side, become one token."""
    if "image_merge_sizes" in reading.inputs:
        return int(reading.inputs["image_merge_sizes"][reading.index])
    merge = reading.setting("merge_size", None)
    if merge is None:
        vision = getattr(reading.config, "vision_config", None)
        merge = getattr(vision, "spatial_merge_size", 1)
    return int(merge)


def stretched_thw(reading: Reading) -> VisualLayout:
    """The whole image, stretched onto the grid.

    Raises:
        ConfigurationError: the visual tokens do not fill the grid.
    """
    rows, cols = merged_grid(reading)
    return in_views(reading, [View(whole_region(reading.image_size), rows, cols)])


def padded_thw(reading: Reading) -> VisualLayout:
    """The image in its own shape, and padding on the right and below to whole tokens (Kimi).

    Raises:
        ConfigurationError: as `stretched_thw`; or the processor's grid is not that of its own
            sizing function.
    """
    rows, cols = merged_grid(reading)
    width, height = reading.image_size
    patch, merge = int(reading.setting("patch_size")), _merge_size(reading)
    region: Region = whole_region(reading.image_size)
    if reading.setting("do_resize"):
        inner, outer = own_function(reading.image_processor, "navit_resize")(
            height=height,
            width=width,
            patch_size=patch,
            merge_kernel_size=merge,
            max_patches=reading.setting("max_patches"),
            max_size_per_side=reading.setting("size")["max_height"],
        )
        if tuple(outer) != (rows * patch * merge, cols * patch * merge):
            raise ConfigurationError(
                f"an image of (width, height) {reading.image_size} is padded to (height, width) "
                f"{tuple(outer)}, but the processor made {rows} x {cols} tokens of "
                f"{patch * merge} pixels"
            )
        region = (0.0, 0.0, width * outer[1] / inner[1], height * outer[0] / inner[0])
    return in_views(reading, [View(region, rows, cols)])
