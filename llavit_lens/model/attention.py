"""Self-attention with projections of their own for visual tokens (Eq. 6), or without their update
(Eq. 5).

Shape letters: B batch, L new tokens, S cached and new tokens, D model width, H query heads,
K key/value heads, E head width; T text rows and V visual rows of the flattened batch.
"""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb, eager_attention_forward

from llavit_lens.model.routing import VisualTokens, merge_rows, split_rows


class VisualLinear(nn.Linear):
    """A projection of visual tokens, which starts as a copy of the text projection `source`.

    The copy is made by `VisualDecoder._init_weights`, where weights found in a checkpoint are safe.
    """

    def __init__(self, source: nn.Linear) -> None:
        super().__init__(source.in_features, source.out_features, bias=source.bias is not None)
        self._source = (source,)  # in a tuple, so that it is not registered as a submodule

    @property
    def source(self) -> nn.Linear:
        return self._source[0]


class VisualAttention(nn.Module):
    """LLaViT's attention for one decoder family: mixed in before the family's own attention class.

    The annotated attributes come from that class. A family that fuses projections, normalizes
    queries and keys or rotates them in its own way overrides `project` or `rotate`.
    """

    config: Any
    layer_idx: Any
    head_dim: int
    scaling: float
    attention_dropout: Any
    o_proj: nn.Linear

    routed_projections: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj")

    def __init__(self, config: PreTrainedConfig, layer_idx: int, separate_visual_qkv: bool) -> None:
        super().__init__(config, layer_idx)
        self.separate_visual_qkv = separate_visual_qkv
        if separate_visual_qkv:
            for name in self.routed_projections:
                setattr(self, f"{name}_visual", VisualLinear(getattr(self, name)))

    def route(self, hidden_BLD: Tensor, visual_tokens: VisualTokens | None) -> list[Tensor]:
        """Each routed projection of every token, by visual or text weights: [B, L, features] each.

        Every token is projected once. With `visual_tokens` the visual weights are used even on zero
        rows: so they are in the graph of every process of a sharded training, whatever its batch.
        """
        text_projections = [getattr(self, name) for name in self.routed_projections]
        if visual_tokens is None or not self.separate_visual_qkv:
            return [project(hidden_BLD) for project in text_projections]
        visual_projections = [getattr(self, f"{name}_visual") for name in self.routed_projections]
        text_TD, visual_VD = split_rows(hidden_BLD.flatten(0, 1), visual_tokens)
        return [
            merge_rows(text(text_TD), visual(visual_VD), visual_tokens).unflatten(
                0, hidden_BLD.shape[:2]
            )
            for text, visual in zip(text_projections, visual_projections, strict=True)
        ]

    def project(self, hidden_BLD: Tensor, visual_tokens: VisualTokens | None) -> list[Tensor]:
        """Queries [B, H, L, E], keys and values [B, K, L, E], not yet rotated."""
        return [
            rows.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
            for rows in self.route(hidden_BLD, visual_tokens)
        ]

    def rotate(self, q_BHLE: Tensor, k_BKLE: Tensor, cos_sin: Any) -> tuple[Tensor, Tensor]:
        """Rotary position embedding of queries and keys."""
        return apply_rotary_pos_emb(q_BHLE, k_BKLE, *cos_sin)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Any,
        past_key_values: Cache | None = None,
        visual_tokens: VisualTokens | None = None,
        skip_visual_update: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """[B, L, D] -> the attention update [B, L, D], and weights [B, H, L, S] if there are any.

        With `skip_visual_update` the update of visual tokens is exactly zero (Eq. 5), though other
        tokens attend to them.
        """
        q_BHLE, k_BKSE, v_BKSE = self.project(hidden_states, visual_tokens)
        q_BHLE, k_BKSE = self.rotate(q_BHLE, k_BKSE, position_embeddings)
        if past_key_values is not None:
            k_BKSE, v_BKSE = past_key_values.update(k_BKSE, v_BKSE, self.layer_idx)
        attend = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        z_BLHE, weights_BHLS = attend(
            self,
            q_BHLE,
            k_BKSE,
            v_BKSE,
            attention_mask,
            dropout=self.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            sliding_window=getattr(self, "sliding_window", None),
            **kwargs,
        )
        update_BLD = self.o_proj(z_BLHE.flatten(-2))
        if skip_visual_update and visual_tokens is not None:
            update_ND = update_BLD.flatten(0, 1).index_fill(0, visual_tokens.visual, 0.0)
            update_BLD = update_ND.view_as(update_BLD)
        return update_BLD, weights_BHLS
