"""An image in one grid of patches: LLaVA's layout."""

from __future__ import annotations

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.boxes import boxes_of, whole_image
from llavit_lens.vlm.families.reading import Reading


def one_grid(reading: Reading) -> VisualLayout:
    """The layout of `pixel_values` [images, 3, height, width].

    Raises:
        ConfigurationError: the visual tokens do not fill the grid.
    """
    positions, processor = reading.equal_share(), reading.processor
    height, width = reading.inputs["pixel_values"].shape[2:]
    patch = processor.patch_size
    rows, cols = height // patch, width // patch
    extra = len(positions) - rows * cols
    # A class token, where the model keeps it, comes first and lies nowhere on the image.
    if extra not in {0, getattr(processor, "num_additional_image_tokens", 0)}:
        raise ConfigurationError(
            f"{len(positions)} visual tokens do not fill a grid of {rows} x {cols} patches: "
            "the processor's patch_size or vision_feature_select_strategy does not fit the model"
        )
    row, col = (axis.ravel().astype(np.int64) for axis in np.indices((rows, cols)))
    axes = whole_image(processor.image_processor, reading.image_size, (width, height))
    return VisualLayout(
        positions=positions[extra:],
        tile=np.zeros_like(row),
        row=row,
        col=col,
        grid=((rows, cols),),
        image_size=reading.image_size,
        boxes=boxes_of(col * patch, row * patch, patch, *axes),
        off_image=positions[:extra],
    )
