"""Makes LLaViT known to transformers: Auto classes, attention functions, key names of LLaVA."""

from __future__ import annotations

from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText, AutoProcessor
from transformers.conversion_mapping import (
    get_checkpoint_conversion_mapping,
    register_checkpoint_conversion_mapping,
)

from llavit_lens.model.attention.backends import register_attention
from llavit_lens.model.configuration import LlavitConfig
from llavit_lens.model.modeling import LlavitForConditionalGeneration, LlavitModel
from llavit_lens.model.processing import LlavitProcessor


def register() -> None:
    """Register classes and attention, and map LLaVA's two key layouts onto ours."""
    register_attention()
    AutoConfig.register(LlavitConfig.model_type, LlavitConfig, exist_ok=True)
    AutoModel.register(LlavitConfig, LlavitModel, exist_ok=True)
    AutoModelForImageTextToText.register(
        LlavitConfig, LlavitForConditionalGeneration, exist_ok=True
    )
    AutoProcessor.register(LlavitConfig, LlavitProcessor, exist_ok=True)
    # By class name: the configuration of a LLaVA checkpoint still says "llava" while it is loaded.
    # Classes outside transformers get no mapping otherwise, and would keep a random language model.
    # LLaVA-NeXT's mapping is LLaVA's with `image_newline`.
    for ours, theirs in (
        (LlavitForConditionalGeneration, "llava_next"),
        (LlavitModel, "LlavaModel"),
    ):
        mapping = get_checkpoint_conversion_mapping(theirs)
        register_checkpoint_conversion_mapping(ours.__name__, mapping, overwrite=True)
