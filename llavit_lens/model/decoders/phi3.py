"""Phi-3 and Phi-3.5: one fused projection, rotary positions on part of a head, and long-range
rotary factors beyond the length of their first training.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import Phi3Config
from transformers.models.phi3.modeling_phi3 import (
    Phi3Attention,
    Phi3DecoderLayer,
    Phi3Model,
    apply_rotary_pos_emb,
)

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.visual_attention import VisualAttention, split_heads
from llavit_lens.model.compat import cache_of
from llavit_lens.model.decoders.base import VisualDecoder
from llavit_lens.model.decoders.layer import HookedLayer
from llavit_lens.model.decoders.mistral import create_one_mask


class Phi3VisualAttention(VisualAttention, Phi3Attention):  # type: ignore[misc]
    """The visual projection is as fused as the text one."""

    routed_projections: ClassVar[tuple[str, ...]] = ("qkv_proj",)
    num_key_value_heads: int

    def complete(self, separate_visual_qkv: bool) -> None:
        """As in the base class, with the window of the configuration."""
        super().complete(separate_visual_qkv)
        self.sliding_window = self.config.sliding_window

    def heads(self, rows: Tensor, branch: str = "") -> list[Tensor]:
        """As in the base class: queries, keys and values are the parts of one projection."""
        fused = split_heads(getattr(self, "qkv_proj" + branch)(rows), self.head_dim)
        heads, groups = self.config.num_attention_heads, self.num_key_value_heads
        return list(fused.split([heads, groups, groups], dim=-2))

    def rotate(self, q_BHLE: Tensor, k_BKLE: Tensor, cos_sin: Any) -> tuple[Tensor, Tensor]:
        """As in the base class, on the first part of each head."""
        return apply_rotary_pos_emb(q_BHLE, k_BKLE, *cos_sin)


class Phi3HookedLayer(HookedLayer, Phi3DecoderLayer):  # type: ignore[misc]
    """With dropout of what is added to the residual stream."""

    def drop(self, update_BLD: Tensor, part: str) -> Tensor:
        """As in the base class."""
        return getattr(self, f"resid_{part}_dropout")(update_BLD)


class Phi3VisualDecoder(VisualDecoder, Phi3Model):
    """One mask for all layers."""

    config_class = Phi3Config
    layer_class = Phi3HookedLayer
    attention_class = Phi3VisualAttention
    create_masks = staticmethod(create_one_mask)

    def forward(
        self,
        *,
        inputs_embeds: Tensor | None = None,
        position_ids: Tensor | None = None,
        **kwargs: Any,
    ) -> Any:
        """As in transformers.

        Raises ConfigurationError where rotary factors change while keys rotated by the old ones
        are cached.
        """
        cache = cache_of(kwargs)
        past = 0 if cache is None else int(cache.get_seq_length())
        rope: Any = self.config.rope_parameters
        if past > 0 and rope["rope_type"] == "longrope":
            if position_ids is None:
                new = kwargs["input_ids"] if inputs_embeds is None else inputs_embeds
                position_ids = torch.arange(past, past + new.shape[1], device=new.device)[None]
            limit = rope["original_max_position_embeddings"]
            if position_ids[:, 0].max() <= limit < position_ids.max() + 1:
                raise ConfigurationError(
                    f"The sequence grows beyond {limit} tokens, where {self.config.model_type} "
                    "changes its rotary factors, but the cached keys were rotated by the old ones; "
                    "generate fewer tokens, or with use_cache=False."
                )
        return super().forward(inputs_embeds=inputs_embeds, position_ids=position_ids, **kwargs)
