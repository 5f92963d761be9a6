"""Mistral: all layers have the same sliding window, or none."""

from __future__ import annotations

from typing import Any

from transformers import MistralConfig, PreTrainedConfig
from transformers.masking_utils import create_causal_mask, create_sliding_window_causal_mask
from transformers.models.mistral.modeling_mistral import (
    MistralAttention,
    MistralDecoderLayer,
    MistralModel,
)

from llavit_lens.model.attention.visual_attention import VisualAttention
from llavit_lens.model.decoders.base import VisualDecoder
from llavit_lens.model.decoders.layer import HookedLayer


def create_one_mask(config: PreTrainedConfig, **arguments: Any) -> Any:
    """The mask of all layers, within `config.sliding_window` if there is one."""
    if config.sliding_window is None:
        return create_causal_mask(config, **arguments)
    return create_sliding_window_causal_mask(config, **arguments)


class MistralVisualAttention(VisualAttention, MistralAttention):  # type: ignore[misc]
    """The plain case, with the window of the configuration."""

    def complete(self, separate_visual_qkv: bool) -> None:
        """As in the base class, with the window of the configuration."""
        super().complete(separate_visual_qkv)
        self.sliding_window = self.config.sliding_window


class MistralHookedLayer(HookedLayer, MistralDecoderLayer):  # type: ignore[misc]
    """As the family's own."""


class MistralVisualDecoder(VisualDecoder, MistralModel):
    """One mask for all layers."""

    config_class = MistralConfig
    layer_class = MistralHookedLayer
    attention_class = MistralVisualAttention
    create_masks = staticmethod(create_one_mask)
