"""Self-attention with projections of their own for visual tokens (Eq. 6), or without their update
(Eq. 5), and with hook points at every step.

Shape letters: B batch, L new tokens, S cached and new tokens, D model width, H query heads,
K key/value heads, E head width; N = B * L rows of the flattened batch, T of them text and V visual.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.qwen2.modeling_qwen2 import apply_rotary_pos_emb

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.eager import eager_attention
from llavit_lens.model.attention.routing import VisualTokens, merge_rows, split_rows
from llavit_lens.model.compat import take_cache
from llavit_lens.model.compilation import compiled_kernel
from llavit_lens.model.hook_points import (
    ATTENTION_HOOKS,
    MERGED_HOOKS,
    PATTERN_HOOKS,
    TEXT_HOOKS,
    VISUAL_HOOKS,
    Hooked,
    has_hooks,
)


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


def split_heads(rows: Tensor, width: int) -> Tensor:
    """[..., heads * width] -> [..., heads, width]."""
    return rows.view(*rows.shape[:-1], rows.shape[-1] // width, width)


class VisualAttention(Hooked):
    """LLaViT's attention for one decoder family: mixed in before the family's own attention class.

    The annotated attributes come from that class. A family that fuses projections, normalizes
    queries and keys or rotates them in its own way overrides `heads`, `normalize` or `rotate`.
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
        self.complete(separate_visual_qkv)

    def complete(self, separate_visual_qkv: bool) -> None:
        """Add to the family's own attention what this class needs."""
        self.separate_visual_qkv = separate_visual_qkv
        if separate_visual_qkv:
            for name in self.routed_projections:
                setattr(self, f"{name}_visual", VisualLinear(getattr(self, name)))
        has_branch = separate_visual_qkv
        self.add_points(name for name in ATTENTION_HOOKS if has_branch or name not in VISUAL_HOOKS)

    def heads(self, rows: Tensor, branch: str = "") -> list[Tensor]:
        """Queries, keys and values of rows [..., D] by the projections of a branch: [..., H, E],
        [..., K, E] and [..., K, E]."""
        return [
            split_heads(getattr(self, name + branch)(rows), self.head_dim)
            for name in self.routed_projections
        ]

    def project(self, hidden_BLD: Tensor, visual_tokens: VisualTokens | None) -> list[Tensor]:
        """Queries [B, L, H, E], keys and values [B, L, K, E], by visual or text weights.

        Every token is projected once. With `visual_tokens` the visual weights are used even on zero
        rows: in sharded training they must be in the graph of every process, for any batch.
        """
        if visual_tokens is None or not self.separate_visual_qkv:
            merged = [
                self._hook_rows(name, heads)
                for name, heads in zip(TEXT_HOOKS, self.heads(hidden_BLD), strict=True)
            ]
        else:
            text_TD, visual_VD = split_rows(hidden_BLD.flatten(0, 1), visual_tokens)
            branches = zip(
                TEXT_HOOKS,
                self.heads(text_TD),
                VISUAL_HOOKS,
                self.heads(visual_VD, "_visual"),
                strict=True,
            )
            merged = [
                merge_rows(
                    self.hook(of_text, text), self.hook(of_visual, visual), visual_tokens
                ).unflatten(0, hidden_BLD.shape[:2])
                for of_text, text, of_visual, visual in branches
            ]
        return [self.hook(name, heads) for name, heads in zip(MERGED_HOOKS, merged, strict=True)]

    def normalize(self, q_BLHE: Tensor, k_BLKE: Tensor) -> tuple[Tensor, Tensor]:
        """Norms of queries and keys, in families that have them."""
        return q_BLHE, k_BLKE

    def rotate(self, q_BHLE: Tensor, k_BKLE: Tensor, cos_sin: Any) -> tuple[Tensor, Tensor]:
        """Rotary position embedding of queries and keys."""
        return apply_rotary_pos_emb(q_BHLE, k_BKLE, *cos_sin)

    def forward(
        self,
        hidden_states: Tensor,
        position_embeddings: tuple[Tensor, Tensor],
        attention_mask: Any,
        visual_tokens: VisualTokens | None = None,
        skip_visual_update: bool = False,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """[B, L, D] -> the attention update [B, L, D], and weights [B, H, L, S] if there are any.

        With `skip_visual_update` the update of visual tokens is exactly zero (Eq. 5), though other
        tokens attend to them.
        """
        q_BLHE, k_BLKE, v_BLKE = self.project(hidden_states, visual_tokens)
        q_BLHE, k_BLKE = self.normalize(q_BLHE, k_BLKE)
        q_BHLE, k_BKSE = self.rotate(
            q_BLHE.transpose(1, 2), k_BLKE.transpose(1, 2), position_embeddings
        )
        q_BHLE = self.hook("hook_rot_q", q_BHLE, axes=(1, 2))
        k_BKSE = self.hook("hook_rot_k", k_BKSE, axes=(1, 2))
        v_BKSE = v_BLKE.transpose(1, 2)
        cache = take_cache(kwargs)
        if cache is not None:
            k_BKSE, v_BKSE = cache.update(k_BKSE, v_BKSE, self.layer_idx)
        if skip_visual_update and visual_tokens is not None:
            return self.attend_from_text(
                q_BHLE, k_BKSE, v_BKSE, attention_mask, visual_tokens, **kwargs
            )
        z_BLHE, weights_BHLS = self.attend(q_BHLE, k_BKSE, v_BKSE, attention_mask, **kwargs)
        return self.o_proj(self.hook("hook_z", z_BLHE).flatten(-2)), weights_BHLS

    def attend(
        self, q_BHLE: Tensor, k_BKSE: Tensor, v_BKSE: Tensor, attention_mask: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor | None]:
        """Weighted values [B, L, H, E] by the configured implementation, and weights [B, H, L, S].

        Raises ConfigurationError where a hook waits for scores or weights that it does not make.
        """
        implementation = self.config._attn_implementation
        if implementation != "eager":
            self._refuse_pattern_hooks(implementation)
        attention = ALL_ATTENTION_FUNCTIONS.get_interface(implementation, eager_attention)
        with compiled_kernel() if implementation == "flex_attention" else nullcontext():
            return attention(
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

    def attend_from_text(
        self,
        q_BHLE: Tensor,
        k_BKSE: Tensor,
        v_BKSE: Tensor,
        attention_mask: Any,
        tokens: VisualTokens,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """The update [B, L, D] of text tokens; that of visual tokens is exactly zero (Eq. 5).

        The queries of visual tokens are left out where that is possible: in a batch of one sample
        (its text tokens are one smaller call), with attention that returns no weights.
        """
        batch, implementation = (q_BHLE.shape[0], q_BHLE.shape[2]), self.config._attn_implementation
        if batch[0] == 1 and implementation in _LEAVES_OUT_QUERIES:
            mask = _rows_of_mask(attention_mask, tokens.text, k_BKSE.shape[2])
            q_BHTE = q_BHLE.index_select(2, tokens.text)
            z_BTHE, weights_BHLS = self.attend(q_BHTE, k_BKSE, v_BKSE, mask, **kwargs)
            z_THE = z_BTHE[0]
        else:
            z_BLHE, weights_BHLS = self.attend(q_BHLE, k_BKSE, v_BKSE, attention_mask, **kwargs)
            z_THE, _ = split_rows(z_BLHE.flatten(0, 1), tokens)
        z_BLHE = self.hook("hook_z", _zero_at_visual(z_THE, tokens).unflatten(0, batch))
        z_THE, _ = split_rows(z_BLHE.flatten(0, 1), tokens)
        update_ND = _zero_at_visual(self.o_proj(z_THE.flatten(1)), tokens)
        return update_ND.unflatten(0, batch), weights_BHLS

    def _refuse_pattern_hooks(self, implementation: str) -> None:
        """Raise ConfigurationError for hooks on scores and weights that are never made."""
        for name in PATTERN_HOOKS:
            if has_hooks(self._modules[name]):
                raise ConfigurationError(
                    f"{name} of layer {self.layer_idx} has a hook, but attention by "
                    f"{implementation!r} makes no scores and weights; call "
                    "model.set_attn_implementation({'text_config': 'eager'}) first."
                )

    def _hook_rows(self, name: str, heads: Tensor) -> Tensor:
        """As `hook`, shown as rows [N, H, E]."""
        if not self.in_use(name):
            return heads
        return self.hook(name, heads.flatten(0, 1)).view_as(heads)


_LEAVES_OUT_QUERIES = ("sdpa", "llavit_sdpa")


def _rows_of_mask(mask: Tensor | None, rows: Tensor, total: int) -> Tensor:
    """The mask of some queries. None is the causal mask of a prompt, from the first key on; empty
    keys of a static cache may follow."""
    if mask is not None:
        return mask.index_select(2, rows)
    return (torch.arange(total, device=rows.device) <= rows[:, None])[None, None]


def _zero_at_visual(text_TD: Tensor, tokens: VisualTokens) -> Tensor:
    zeros_VD = text_TD.new_zeros(len(tokens.visual), *text_TD.shape[1:])
    return merge_rows(text_TD, zeros_VD, tokens)
