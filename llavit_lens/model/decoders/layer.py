"""A decoder layer with hook points, for every family: only the parts differ.

Shape letters: B batch, L new tokens, D model width.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from llavit_lens.model.hook_points import BLOCK_HOOKS, Hooked


class HookedLayer(Hooked):
    """Attention and MLP, each after a norm and added to the residual stream: mixed in before the
    family's own layer class, which has the parts.
    """

    input_layernorm: Any
    self_attn: Any
    post_attention_layernorm: Any
    mlp: Any

    def complete(self) -> None:
        """Add the hook points to the family's own layer."""
        self.add_points(BLOCK_HOOKS)

    def drop(self, update_BLD: Tensor, part: str) -> Tensor:
        """Dropout of the update by "attn" or "mlp", in families that have it."""
        return update_BLD

    def forward(self, hidden_states: Tensor, **kwargs: Any) -> Tensor:
        """[B, L, D] -> [B, L, D]; all else goes to attention."""
        resid_pre = self.hook("hook_resid_pre", hidden_states)
        attn_out, _ = self.self_attn(hidden_states=self.input_layernorm(resid_pre), **kwargs)
        attn_out = self.hook("hook_attn_out", self.drop(attn_out, "attn"))
        resid_mid = self.hook("hook_resid_mid", resid_pre + attn_out)
        mlp_out = self.mlp(self.post_attention_layernorm(resid_mid))
        mlp_out = self.hook("hook_mlp_out", self.drop(mlp_out, "mlp"))
        return self.hook("hook_resid_post", resid_mid + mlp_out)
