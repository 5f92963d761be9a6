"""An image in one grid of patches that have coordinates of their own (Gemma 4)."""

from __future__ import annotations

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.families.views import View, in_views, whole_region


def coordinates(reading: Reading) -> VisualLayout:
    """The whole image, stretched onto patches at `image_position_ids` [images, patches, 2] (x, y;
    negative in padding), of which squares become one token.

    Raises:
        ConfigurationError: the visual tokens do not fill the grid.
    """
    name = "image_position_ids"
    if name not in reading.inputs:
        raise ConfigurationError(
            f"{type(reading.processor).__name__} returned no {name}, so it is not known where the "
            "visual tokens lie"
        )
    places = reading.inputs[name][reading.index].cpu()
    cols, rows = (int(last) + 1 for last in places.max(0).values)
    if int((places >= 0).all(1).sum()) != rows * cols:
        raise ConfigurationError(f"{name} are not those of a grid of {rows} x {cols} patches")
    side = int(reading.setting("pooling_kernel_size"))
    view = View(whole_region(reading.image_size), rows // side, cols // side)
    return in_views(reading, [view])
