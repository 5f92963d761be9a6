"""What the models of the LLaVA kind share, and the defaults for model types that no file names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from transformers import LlavaProcessor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.model.agreement import check_image_token
from llavit_lens.model.llava_processors import complete_processor, makes_tiles
from llavit_lens.model.tower_rules import token_settings
from llavit_lens.vlm.families.family import Family, reading_of
from llavit_lens.vlm.families.one_grid import one_grid
from llavit_lens.vlm.families.reading import Reading, unknown_layout
from llavit_lens.vlm.families.stitched import stitched

_STRATEGY = "vision_feature_select_strategy"


def layout_of(
    inputs: Mapping[str, Any], processor: Any, config: Any, image_size: tuple[int, int]
) -> VisualLayout:
    """The layout of a prompt with one image: as `llava_layout`."""
    return llava_layout(reading_of(inputs, processor, config, [image_size]))


def llava_layout(reading: Reading) -> VisualLayout:
    """The layout for the processor's kind and the shape of its pixels.

    Raises:
        ConfigurationError: neither is known here, or as `one_grid` and `stitched`.
    """
    tiled = makes_tiles(getattr(reading.processor, "image_processor", None))
    shape = tuple(reading.inputs["pixel_values"].shape)
    patch = getattr(reading.processor, "patch_size", None)
    if len(shape) != (5 if tiled else 4) or shape[0] != len(reading.image_sizes) or not patch:
        raise unknown_layout(reading.processor)
    layout = stitched if tiled else one_grid
    return layout(reading)


def follow_strategy(processor: Any, config: Any, changed: Sequence[str], name: str) -> None:
    """Make the processor count the visual tokens of another `vision_feature_select_strategy`.

    Raises:
        ConfigurationError: it is no processor of LLaVA, or the vision tower does not allow it.
    """
    if _STRATEGY not in changed:
        return
    if not isinstance(processor, LlavaProcessor):
        raise ConfigurationError(
            f"{name}: its {type(processor).__name__} cannot follow {_STRATEGY}; leave it out"
        )
    for key, value in token_settings(config).items():
        setattr(processor, key, value)


LLAVA_LIKE = Family(
    model_types=("vipllava",),
    layout=llava_layout,
    validate=check_image_token,
    plain_prompt="USER: {image}\n{question} ASSISTANT:",
    complete_processor=complete_processor,
    follow=follow_strategy,
)
"""VipLlava, and what the other models with LLaVA's processor share with it."""
