"""Qwen2 and Qwen2.5."""

from __future__ import annotations

from transformers import Qwen2Config
from transformers.masking_utils import create_masks_for_generate
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention, Qwen2DecoderLayer, Qwen2Model

from llavit_lens.model.attention.visual_attention import VisualAttention
from llavit_lens.model.decoders.base import VisualDecoder
from llavit_lens.model.decoders.layer import HookedLayer


class Qwen2VisualAttention(VisualAttention, Qwen2Attention):  # type: ignore[misc]
    """The plain case; the layer's own sliding window, if any, is set by Qwen2."""


class Qwen2HookedLayer(HookedLayer, Qwen2DecoderLayer):  # type: ignore[misc]
    """As the family's own."""


class Qwen2VisualDecoder(VisualDecoder, Qwen2Model):
    """Masks go by type of layer: some may have a sliding window."""

    config_class = Qwen2Config
    layer_class = Qwen2HookedLayer
    attention_class = Qwen2VisualAttention
    create_masks = staticmethod(create_masks_for_generate)
