"""Two views of an image, whose patches are pooled into tokens by given indices (Molmo2)."""

from __future__ import annotations

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading, own_function
from llavit_lens.vlm.families.views import View, in_views


def pooled(reading: Reading) -> VisualLayout:
    """A small view of the whole image, then a larger one, made of overlapping crops.

    Both show the whole image, stretched. `image_grids` [images, 4] holds their rows and columns.

    Raises:
        ConfigurationError: these are not the grids, or the visual tokens, of such an image.
    """
    width, height = reading.image_size
    patch = int(reading.setting("patch_size"))
    side = int(reading.setting("size")["height"])
    _, _, canvas_height, canvas_width = own_function(
        reading.image_processor, "compute_crop_geometry"
    )(
        height,
        width,
        max_crops=reading.setting("max_crops"),
        overlap_margins=reading.setting("overlap_margins"),
        crop_size=side,
        patch_size=patch,
    )
    pool = tuple(int(patches) for patches in reading.setting("pooling_size"))
    views = []
    for seen, whole in (((side, side), True), ((canvas_height, canvas_width), False)):
        (top, bottom, rows), (left, right, cols) = (
            _pooled_axis(length, pixels // patch, patches)
            for length, pixels, patches in zip((height, width), seen, pool, strict=True)
        )
        views.append(View((left, top, right, bottom), rows, cols, whole))
    grids = [side for view in views for side in (view.rows, view.cols)]
    if reading.row("image_grids") != grids:
        raise ConfigurationError(
            f"an image of (width, height) {reading.image_size} makes grids of {grids}, but the "
            f"processor returned {reading.row('image_grids')}"
        )
    return in_views(reading, views)


def _pooled_axis(length: int, patches: int, pool: int) -> tuple[float, float, int]:
    """Where groups of `pool` patches begin and end on an axis of the image, and how many they are.

    Padding goes around the patches, and more of it after them.
    """
    groups = -(-patches // pool)
    before = (groups * pool - patches) // 2
    patch = length / patches
    return -before * patch, (groups * pool - before) * patch, groups
