"""Qwen3, which normalizes the queries and keys of each head."""

from __future__ import annotations

from torch import Tensor
from transformers import Qwen3Config
from transformers.masking_utils import create_masks_for_generate
from transformers.models.qwen3.modeling_qwen3 import Qwen3Attention, Qwen3Model

from llavit_lens.model.attention import VisualAttention
from llavit_lens.model.decoders.base import VisualDecoder
from llavit_lens.model.routing import VisualTokens


class Qwen3VisualAttention(VisualAttention, Qwen3Attention):
    """Visual tokens have projections of their own, and share the norms with text: Eq. 6 separates
    nothing but the projections.
    """

    def project(self, hidden_BLD: Tensor, visual_tokens: VisualTokens | None) -> list[Tensor]:
        """As in the base class, with normalized queries and keys."""
        q_BLHE, k_BLKE, v_BLKE = (
            rows.unflatten(-1, (-1, self.head_dim))
            for rows in self.route(hidden_BLD, visual_tokens)
        )
        heads = (self.q_norm(q_BLHE), self.k_norm(k_BLKE), v_BLKE)
        return [rows.transpose(1, 2) for rows in heads]


class Qwen3VisualDecoder(VisualDecoder, Qwen3Model):
    """Masks go by type of layer: some may have a sliding window."""

    config_class = Qwen3Config
    attention_class = Qwen3VisualAttention
    create_masks = staticmethod(create_masks_for_generate)
