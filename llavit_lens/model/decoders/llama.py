"""Llama, and Vicuna built on it."""

from __future__ import annotations

from transformers import LlamaConfig
from transformers.masking_utils import create_causal_mask
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaModel

from llavit_lens.model.attention import VisualAttention
from llavit_lens.model.decoders.base import VisualDecoder


class LlamaVisualAttention(VisualAttention, LlamaAttention):  # type: ignore[misc]
    """The plain case, with biases where the configuration has them."""


class LlamaVisualDecoder(VisualDecoder, LlamaModel):
    """One mask for all layers, and no sliding window, whatever the configuration may hold."""

    config_class = LlamaConfig
    attention_class = LlamaVisualAttention
    create_masks = staticmethod(create_causal_mask)
