"""The last check before a model is used: do its config and processor fit?"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.model.agreement import (
    an_image_is_tried,
    check_agreement,
    check_pixel_values,
    half_black_half_white,
)
from llavit_lens.model.self_check import check_release
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.family import Family, image_token_id, reading_of
from llavit_lens.vlm.families.refused import refuse_unreadable

_SIDE = 40
"""Of the image that a processor is tried on, which is twice as wide; in pixels."""


def validate(config: Any, processor: Any, name: str) -> None:
    """Refuse a model and a processor that do not belong together; no weights are needed.

    Args:
        config: of the model.
        processor: what should belong to it.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: they do not belong together, or the processor does not work.
        ConfigurationError: a model of its type cannot be read, the config has no exact meaning, or
            LLaViT computes something else with the installed transformers, which is newer than any
            release tested.
    """
    refuse_unreadable(config, name)
    family = family_of(config)
    family.validate(config, processor, name)
    if family.validate is not check_agreement:  # which tries an image itself
        _try_image(family, config, processor, name)
    check_release(config.get_text_config().model_type)


def _try_image(family: Family, config: Any, processor: Any, name: str) -> None:
    """Let the processor prepare one image: does it write the model's visual tokens?

    Raises:
        CheckpointError: it does not, fails, or makes pixels that no vision tower takes.
    """
    image = half_black_half_white(_SIDE)
    with an_image_is_tried(name):
        prompt = family.prompt(processor, "What?", name)
        inputs = processor(images=[image], text=[prompt], return_tensors="pt")
        ids, placeholder = inputs["input_ids"], image_token_id(config)
    if not (ids == placeholder).any():
        raise CheckpointError(
            f"{name}: model and processor do not belong together: the model's image token is "
            f"{placeholder}, and its {type(processor).__name__} does not write it for an image"
        )
    pixels = inputs.get("pixel_values")
    if isinstance(pixels, Tensor):
        check_pixel_values(pixels.flatten(), name)
    if family.precision == "exact":  # what has to be measured takes more passes of the processor
        try:
            family.layouts(reading_of(inputs, processor, config, [image.size], prompt))
        except ConfigurationError as error:
            raise CheckpointError(
                f"{name}: model and processor do not belong together: {error}"
            ) from error
