"""Our decoder layers as parts of a TransformerLens bridge.

A part of a bridge takes the place of one of the model's own modules and calls it. Ours compute
nothing: attention, routing and all else stay in `llavit_lens.model`. Its hook points are replaced
by TransformerLens's, so that both sides know them by the same names and in the same shapes.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge.generalized_components import (
    AttentionBridge,
    BlockBridge,
    LinearBridge,
)

from llavit_lens.model.hook_points import ATTENTION_HOOKS, TEXT_HOOKS, VISUAL_HOOKS


class RowsLinear(LinearBridge):
    """A projection of the rows of some tokens [T or V, D], or of all of them [B, L, D]."""

    def __init__(self, name: str) -> None:
        super().__init__(name, optional=True)
        self.mark_pos_dim(-2)  # where `pos_slice` cuts


class VisualAttentionBridge(AttentionBridge):
    """Attention as `VisualAttention` computes it."""

    supports_split_qkv_fork = False  # queries, keys and values are made of the same rows
    hook_aliases: dict[str, Any] = {}  # noqa: RUF012  # may be an instance's own, there

    def set_original_component(self, original_component: nn.Module) -> None:
        """Take the place of an attention module, and of its hook points."""
        super().set_original_component(original_component)
        self.hook_in.hook_conversion = self.hook_out.hook_conversion = None
        for name in ATTENTION_HOOKS:
            if name in original_component._modules:
                point = HookPoint()
                if name in (*TEXT_HOOKS, *VISUAL_HOOKS):
                    point.pos_dim = 0  # rows: `pos_slice` counts text tokens, or visual ones
                setattr(self, name, point)
                setattr(original_component, name, point)

    def _setup_qkv_hook_reshaping(self) -> None:
        """Nothing to do: our hook points have TransformerLens's shapes."""

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor | None]:
        """As `VisualAttention.forward`, between hooks on what goes in and what comes out."""
        assert self.original_component is not None
        update, weights = self.original_component(
            hidden_states=self.hook_in(hidden_states), **kwargs
        )
        return self.hook_out(update), weights


class LayerBridge(BlockBridge):
    """A decoder layer. Unlike in TransformerLens's own blocks, what a hook puts at resid_mid goes
    on along the skip branch, too, not into the MLP alone.
    """

    hook_aliases: dict[str, Any] = {  # noqa: RUF012
        name: BlockBridge.hook_aliases[name]
        for name in ("hook_resid_pre", "hook_attn_out", "hook_mlp_out", "hook_resid_post")
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.hook_resid_mid = HookPoint()

    def set_original_component(self, original_component: nn.Module) -> None:
        """Take the place of a decoder layer."""
        super().set_original_component(original_component)
        original_component.hook_resid_mid = self.hook_resid_mid
