"""The decoder families LLaViT is built on: an attention class, a model class, an entry each."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, Qwen2Config
from transformers import initialization as init
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention, Qwen2Model

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention import VisualAttention, VisualLinear
from llavit_lens.model.mask import refuse_flash_attention


class MaskKeeping(PreTrainedModel):
    """Refuses attention that ignores masks, on construction and in `set_attn_implementation`."""

    _supports_flash_attn = False

    def _check_and_adjust_attn_implementation(
        self, attn_implementation: str | None, *args: Any, **kwargs: Any
    ) -> str:
        refuse_flash_attention(attn_implementation)
        return super()._check_and_adjust_attn_implementation(attn_implementation, *args, **kwargs)

    def get_correct_attn_implementation(
        self, requested_attention: str | None, *args: Any, **kwargs: Any
    ) -> str:
        refuse_flash_attention(requested_attention)
        return super().get_correct_attn_implementation(requested_attention, *args, **kwargs)


class VisualDecoder(MaskKeeping):
    """A decoder that attends through `attention_class`: mixed in before the family's own model."""

    attention_class: ClassVar[type[VisualAttention]]
    layers: nn.ModuleList

    def __init__(self, config: PreTrainedConfig, separate_visual_qkv: bool) -> None:
        super().__init__(config)
        for index, layer in enumerate(self.layers):
            layer.self_attn = self.attention_class(config, index, separate_visual_qkv)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Called for weights that no checkpoint gave, after those it gave; `init` spares the latter.
        super()._init_weights(module)
        if isinstance(module, VisualLinear):
            init.copy_(module.weight, module.source.weight)
            if module.bias is not None:
                init.copy_(module.bias, module.source.bias)


class Qwen2VisualAttention(VisualAttention, Qwen2Attention):
    """Qwen2 and Qwen2.5."""


class Qwen2VisualDecoder(VisualDecoder, Qwen2Model):
    """Qwen2 and Qwen2.5."""

    config_class = Qwen2Config
    attention_class = Qwen2VisualAttention


DECODERS: dict[str, type[VisualDecoder]] = {"qwen2": Qwen2VisualDecoder}
"""Decoder class by `text_config.model_type`."""


def build_decoder(text_config: PreTrainedConfig, separate_visual_qkv: bool) -> VisualDecoder:
    """The decoder for a text configuration; ConfigurationError if its family is not served."""
    if text_config.model_type not in DECODERS:
        raise ConfigurationError(
            f"The decoder family {text_config.model_type!r} is not served; "
            f"use a checkpoint whose text model is one of: {', '.join(DECODERS)}."
        )
    return DECODERS[text_config.model_type](text_config, separate_visual_qkv)
