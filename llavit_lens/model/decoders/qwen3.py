"""Qwen3, which normalizes the queries and keys of each head."""

from __future__ import annotations

from torch import Tensor
from transformers import Qwen3Config
from transformers.masking_utils import create_masks_for_generate
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3DecoderLayer, Qwen3Model

from llavit_lens.model.attention.visual_attention import VisualAttention
from llavit_lens.model.decoders.base import VisualDecoder
from llavit_lens.model.decoders.layer import HookedLayer


class Qwen3VisualAttention(VisualAttention, Qwen3Attention):  # type: ignore[misc]
    """Visual tokens have projections of their own, and share the norms with text: Eq. 6 separates
    nothing but the projections.
    """

    def normalize(self, q_BLHE: Tensor, k_BLKE: Tensor) -> tuple[Tensor, Tensor]:
        """RMS norms of each head."""
        return self.q_norm(q_BLHE), self.k_norm(k_BLKE)


class Qwen3HookedLayer(HookedLayer, Qwen3DecoderLayer):  # type: ignore[misc]
    """As the family's own."""


class Qwen3VisualDecoder(VisualDecoder, Qwen3Model):
    """Masks go by type of layer: some may have a sliding window."""

    config_class = Qwen3Config
    layer_class = Qwen3HookedLayer
    attention_class = Qwen3VisualAttention
    create_masks = staticmethod(create_masks_for_generate)
