"""The decoder families LLaViT is built on: an attention class, a model class, an entry each."""

from __future__ import annotations

from transformers import PreTrainedConfig

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.decoders.base import VisualDecoder
from llavit_lens.model.decoders.llama import LlamaVisualDecoder
from llavit_lens.model.decoders.mistral import MistralVisualDecoder
from llavit_lens.model.decoders.phi3 import Phi3VisualDecoder
from llavit_lens.model.decoders.qwen2 import Qwen2VisualDecoder
from llavit_lens.model.decoders.qwen3 import Qwen3VisualDecoder

DECODERS: dict[str, type[VisualDecoder]] = {
    "llama": LlamaVisualDecoder,
    "mistral": MistralVisualDecoder,
    "phi3": Phi3VisualDecoder,
    "qwen2": Qwen2VisualDecoder,
    "qwen3": Qwen3VisualDecoder,
}
"""Decoder class by `text_config.model_type`."""


def build_decoder(text_config: PreTrainedConfig, separate_visual_qkv: bool) -> VisualDecoder:
    """The decoder for a text configuration; ConfigurationError if its family is not supported."""
    if text_config.model_type not in DECODERS:
        raise ConfigurationError(
            f"The decoder family {text_config.model_type!r} is not supported; "
            f"use a checkpoint with one of these text models: {', '.join(DECODERS)}."
        )
    return DECODERS[text_config.model_type](text_config, separate_visual_qkv)
