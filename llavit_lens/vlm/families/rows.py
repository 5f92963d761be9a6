"""An image in one grid of rows, whose size in pixels the processor returns (Pixtral and kin)."""

from __future__ import annotations

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.views import View, in_views


def rows_of_patches(reading: Reading) -> VisualLayout:
    """The image is stretched to `image_sizes`, and cut into squares of patches, one for each token.

    What does not fill a last row or column of tokens is dropped, as LightOnOCR does. Breaks at the
    ends of rows have ids of their own.

    Raises:
        ConfigurationError: the visual tokens do not fill the grid, or the image is cropped.
    """
    if reading.setting("do_center_crop", False):
        raise ConfigurationError(
            f"{type(reading.image_processor).__name__} crops the image's center, and where the "
            "patches of a crop lie is not known here; leave out do_center_crop"
        )
    height, width = reading.row("image_sizes")
    processor = reading.processor
    side = int(processor.patch_size * getattr(processor, "spatial_merge_size", 1))
    rows, cols = height // side, width // side
    right = reading.image_size[0] * cols * side / width
    bottom = reading.image_size[1] * rows * side / height
    return in_views(reading, [View((0.0, 0.0, right, bottom), rows, cols)])
