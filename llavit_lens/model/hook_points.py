"""Named places in the decoder where a hook can read an activation or replace it.

A hook point is a module without parameters that returns what it is given, so torch hooks,
TransformerLens and nnsight all reach it, and no state dict knows of it. Names and shapes are
TransformerLens's: `blocks.3.attn.hook_q` is `layers[3].self_attn.hook_q`, `blocks.3.hook_resid_mid`
is `layers[3].hook_resid_mid`. Layers count from 0 here, as there.

Shape letters: B batch, L new tokens, S cached and new tokens, D model width, H query heads,
K key/value heads, E head width; T text rows and V visual rows of the flattened batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

TEXT_HOOKS = ("hook_q_text", "hook_k_text", "hook_v_text")
"""[T, H or K, E], the text projections of their rows: of all rows, if there are no visual
projections."""

VISUAL_HOOKS = ("hook_q_visual", "hook_k_visual", "hook_v_visual")
"""[V, H or K, E], the visual projections (Eq. 6) of their rows; only where there are any."""

MERGED_HOOKS = ("hook_q", "hook_k", "hook_v")
"""[B, L, H or K, E], every token in its place, before norms of heads and rotary positions."""

ROTATED_HOOKS = ("hook_rot_q", "hook_rot_k")
"""[B, L, H or K, E], of new tokens, before they are cached."""

PATTERN_HOOKS = ("hook_attn_scores", "hook_pattern")
"""[B, H, L, S], before the softmax (scaled and masked) and after it. Only eager attention makes
them."""

RESULT_HOOKS = ("hook_z",)
"""[B, L, H, E], the weighted values, before the output projection."""

BLOCK_HOOKS = (
    "hook_resid_pre",
    "hook_attn_out",
    "hook_resid_mid",
    "hook_mlp_out",
    "hook_resid_post",
)
"""[B, L, D], of a decoder layer: resid_mid = resid_pre + attn_out, resid_post = resid_mid +
mlp_out."""

ATTENTION_HOOKS = (
    *TEXT_HOOKS,
    *VISUAL_HOOKS,
    *MERGED_HOOKS,
    *ROTATED_HOOKS,
    *PATTERN_HOOKS,
    *RESULT_HOOKS,
)
"""All hook points that an attention module may have."""


class HookPoint(nn.Module):
    """Returns what it is given."""

    def forward(self, activation: Tensor) -> Tensor:
        return activation


def has_hooks(point: Any) -> bool:
    """Whether a hook point has hooks; it may be another library's module instead of ours."""
    return bool(
        point._forward_hooks
        or point._forward_pre_hooks
        or point._backward_hooks
        or point._backward_pre_hooks
    )


class Hooked(nn.Module):
    """A module with hook points: mixed in before a family's own class."""

    def add_points(self, names: Iterable[str]) -> None:
        """Add hook points of these names."""
        for name in names:
            setattr(self, name, HookPoint())

    def in_use(self, name: str) -> bool:
        """Whether a hook point has to be called: it has hooks, or another library replaced its
        `forward`, as nnsight does with every module of a model that it wraps."""
        point: Any = self._modules[name]
        return has_hooks(point) or "forward" in point.__dict__

    def hook(self, name: str, activation: Tensor, axes: tuple[int, int] | None = None) -> Tensor:
        """The activation, or what the hooks at this point return instead.

        Hooks see it with the two `axes` swapped, if given. Without hooks nothing is called: for
        small models on fast devices, Python is the slow part.
        """
        if not self.in_use(name):
            return activation
        point: Any = self._modules[name]
        if axes is None:
            return point(activation)
        return point(activation.transpose(*axes)).transpose(*axes)
