"""LLaViT as an ordinary Hugging Face model; importing this registers it with the Auto classes."""

from __future__ import annotations

from llavit_lens.model.configuration import VISUAL_ATTENTION_MODES, LlavitConfig
from llavit_lens.model.modeling import LlavitForConditionalGeneration, LlavitModel
from llavit_lens.model.processing import LlavitProcessor
from llavit_lens.model.registration import register

register()

__all__ = [
    "VISUAL_ATTENTION_MODES",
    "LlavitConfig",
    "LlavitForConditionalGeneration",
    "LlavitModel",
    "LlavitProcessor",
]
