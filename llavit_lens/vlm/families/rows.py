"""An image in one grid of rows, whose size in pixels the processor returns (Pixtral, Emu3)."""

from __future__ import annotations

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.views import NO_PATCH, View, in_views, row_major


def rows_of_patches(reading: Reading) -> VisualLayout:
    """One token for each square of patches; breaks at the ends of rows have ids of their own.

    Raises:
        ConfigurationError: the visual tokens do not fill the grid, or the image is cropped.
    """
    processor = reading.processor
    side = int(processor.patch_size * getattr(processor, "spatial_merge_size", 1))
    return in_views(reading, [_view(reading, side)])


def rows_of_codes(reading: Reading) -> VisualLayout:
    """One code word for each square, and one that ends each row and is no patch (Emu3).

    Raises:
        ConfigurationError: as `rows_of_patches`.
    """
    view = _view(reading, int(reading.processor.downsample_ratio))
    cells = row_major(0, view.rows, view.cols).reshape(view.rows, view.cols, 2)
    ends = np.broadcast_to(np.array(NO_PATCH), (view.rows, 1, 2))
    order = np.concatenate([cells, ends], axis=1).reshape(-1, 2)
    return in_views(reading, [view], order)


def _view(reading: Reading, side: int) -> View:
    """The image is stretched to `image_sizes`, (height, width), and cut into squares of `side`
    pixels. What does not fill a last row or column is dropped, as LightOnOCR does."""
    if reading.setting("do_center_crop", False):
        raise ConfigurationError(
            f"{type(reading.image_processor).__name__} crops the image's center, and where the "
            "patches of a crop lie is not known here; leave out do_center_crop"
        )
    height, width = reading.row("image_sizes")
    rows, cols = height // side, width // side
    right = reading.image_size[0] * cols * side / width
    bottom = reading.image_size[1] * rows * side / height
    return View((0.0, 0.0, right, bottom), rows, cols)
