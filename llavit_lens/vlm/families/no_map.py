"""Visual tokens that are queries: each reads the whole image, so there is no map."""

from __future__ import annotations

from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.reading import Reading


def no_map(reading: Reading) -> VisualLayout:
    """The positions of queries of a Q-Former or resampler: as many for each image.

    Raises:
        ConfigurationError: the images cannot have as many.
    """
    return VisualLayout.without_map(reading.equal_share(), reading.image_size)
