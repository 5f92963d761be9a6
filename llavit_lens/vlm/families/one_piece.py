"""An image that the model sees in one piece: cropped, or padded to a square."""

from __future__ import annotations

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.boxes import Axis, whole_image
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.views import View, grid_of, in_views, seen_part


def cropped(reading: Reading) -> VisualLayout:
    """Resized and cropped around its center (Chameleon).

    Raises:
        ConfigurationError: the visual tokens are no grid on the pixels; as `whole_image`.
    """
    height, width = reading.inputs["pixel_values"].shape[-2:]
    across, down = whole_image(reading.image_processor, reading.image_size, (width, height))
    left, right = _ends(across, width)
    top, bottom = _ends(down, height)
    rows, cols = grid_of(len(reading.equal_share()), height, width)
    return in_views(reading, [View((left, top, right, bottom), rows, cols)])


def padded_square(reading: Reading) -> VisualLayout:
    """Resized until its longer side fits, then padded to a square (Janus, DeepSeek-VL).

    Raises:
        ConfigurationError: the visual tokens are no grid on the pixels, or these are not those of
            such an image.
    """
    height, width = reading.inputs["pixel_values"].shape[-2:]
    # DeepSeek-VL's second tower has a larger image, and the first one's is made of that
    size = dict(reading.setting("high_res_size", None) or reading.setting("size"))
    least = int(reading.setting("min_size"))
    scale = size["height"] / max(reading.image_size)
    inner = [max(round(length * scale), least) for length in reading.image_size]
    side = max(inner)
    if (
        height != width
        or not reading.setting("do_resize")
        or (not reading.setting("do_pad") and inner != [side, side])
    ):
        raise ConfigurationError(
            f"{type(reading.image_processor).__name__} made {height} x {width} pixels in a way "
            "that is not known here; only resizing and padding to a square are"
        )
    across, down = (
        (-((side - filled) // 2) * length / filled, (side - (side - filled) // 2) * length / filled)
        for filled, length in zip(inner, reading.image_size, strict=True)
    )
    rows, cols = grid_of(len(reading.equal_share()), height, width)
    region = seen_part((across[0], down[0], across[1], down[1]), reading.config, height, width)
    return in_views(reading, [View(region, rows, cols)])


def _ends(axis: Axis, pixels: int) -> tuple[float, float]:
    """Both edges of what is seen, in pixels of the original image; beyond it in padding."""
    first, last = (
        (edge + axis.shift) * axis.size / axis.resized - axis.bar for edge in (0, pixels)
    )
    return first, last
