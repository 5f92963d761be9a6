"""Llama, and Vicuna built on it."""

from __future__ import annotations

from transformers import LlamaConfig
from transformers.masking_utils import create_causal_mask
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaDecoderLayer, LlamaModel

from llavit_lens.model.attention.visual_attention import VisualAttention
from llavit_lens.model.decoders.base import VisualDecoder
from llavit_lens.model.decoders.layer import HookedLayer


class LlamaVisualAttention(VisualAttention, LlamaAttention):  # type: ignore[misc]
    """The plain case, with biases where the configuration has them."""


class LlamaHookedLayer(HookedLayer, LlamaDecoderLayer):  # type: ignore[misc]
    """As the family's own."""


class LlamaVisualDecoder(VisualDecoder, LlamaModel):
    """One mask for all layers, and no sliding window, even if the configuration has one."""

    config_class = LlamaConfig
    layer_class = LlamaHookedLayer
    attention_class = LlamaVisualAttention
    create_masks = staticmethod(create_causal_mask)
