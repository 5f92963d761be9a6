"""What is known of the processors of LLaVA, LLaVA-NeXT and LLaViT, whichever class they are of."""

from __future__ import annotations

from typing import Any

from transformers import LlavaNextProcessor, LlavaProcessor

from llavit_lens.errors import CheckpointError
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.tower_rules import CLASS_TOKENS


def makes_tiles(image_processor: Any) -> bool:
    """Whether it is LLaVA-NeXT's image processor, in either of transformers' versions."""
    return type(image_processor).__name__.removesuffix("Pil") == "LlavaNextImageProcessor"


def merge_type_of(processor: Any) -> str | None:
    """The order in which a processor expects the tokens of tiles; None if that is not known."""
    if isinstance(processor, LlavaNextProcessor):
        return "spatial_unpad"  # the only one it has
    return getattr(processor, "mm_patch_merge_type", None)


def complete_processor(processor: Any, config: Any) -> None:
    """Set, in place, what LLaVA processors that transformers saved before 4.45 do not say.

    Args:
        processor: of any kind; one that is not LLaVA's, or says it all, stays as it is.
        config: of the model that it belongs to.
    """
    if not isinstance(processor, (LlavaProcessor, LlavaNextProcessor)):
        return
    vision = config.vision_config
    if processor.patch_size is None:
        processor.patch_size = vision.patch_size
    if not processor.num_additional_image_tokens:  # 0 where the file does not say it
        processor.num_additional_image_tokens = CLASS_TOKENS.get(vision.model_type, 0)
    if processor.vision_feature_select_strategy is None:
        processor.vision_feature_select_strategy = config.vision_feature_select_strategy


def resolution_of(processor: Any) -> dict[str, Any]:
    """The fields of LlavitConfig that say how a processor of the LLaVA family prepares images.

    `image_processor_for` is the way back.
    """
    image_processor = processor.image_processor
    if makes_tiles(image_processor):
        return {
            "image_aspect_ratio": "anyres",
            "mm_patch_merge_type": merge_type_of(processor),
            "image_grid_pinpoints": [list(p) for p in image_processor.image_grid_pinpoints],
        }
    if getattr(image_processor, "do_pad", False):
        return {"image_aspect_ratio": "pad"}
    cropped = getattr(image_processor, "do_center_crop", False)
    return {"image_aspect_ratio": "crop" if cropped else "stretch"}


def check_tile_agreement(config: Any, processor: Any, name: str) -> None:
    """Model and processor must cut and order tiles alike: some mix-ups change no token count.

    Args:
        config: of a LLaVA, LLaVA-NeXT or LLaViT; others are not looked at.
        processor: what should belong to it.
        name: of the checkpoint, for messages.

    Raises:
        CheckpointError: they do not.
    """
    if isinstance(config, LlavitConfig):
        tiles, pinpoints = config.has_tiles, config.pinpoints
        merge_type = config.mm_patch_merge_type
    elif config.model_type == "llava_next":
        tiles, pinpoints, merge_type = True, config.image_grid_pinpoints, "spatial_unpad"
    else:
        return
    expected = {
        "image_aspect_ratio": "anyres",
        "mm_patch_merge_type": merge_type,
        "image_grid_pinpoints": [list(pinpoint) for pinpoint in pinpoints],
    }
    actual = resolution_of(processor)
    if actual != expected if tiles else actual["image_aspect_ratio"] == "anyres":
        raise CheckpointError(
            f"{name}: model and processor do not belong together: the model wants "
            f"{expected if tiles else 'no tiles'}, and the processor makes {actual}"
        )
