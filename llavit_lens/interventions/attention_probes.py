"""Which token attends to which, read off the results of attention: any backend will do.

With all queries zero a token attends alike to every key that its mask leaves it, and to no other.
If in addition the value of key j is 1 in one channel of its own and 0 in all others, the result
of token i in that channel is 1 / (keys that i attends to) if i attends to j, else exactly 0.

Shape letters: L tokens, H query heads, K key/value heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from llavit_lens.vlm.hooks import Hook, NamedHook, Names
from llavit_lens.vlm.prompt import Prompt
from llavit_lens.vlm.vlm import VLM


class AttendedPairs(NamedTuple):
    """Which queries attend to some of the keys, in one layer."""

    layer: int
    by_pattern: bool
    """Read off the pattern, for all keys; otherwise off the results."""
    first: int
    """The first of the W keys."""
    pairs: Tensor
    """bool [H, L, W], on the CPU: whether query i attends to key first + j."""


@torch.no_grad()
def look_at_attention(vlm: VLM, prompt: Prompt, look: Callable[[AttendedPairs], None]) -> None:
    """Calls `look` until it has seen every pair of tokens in every head of every layer.

    Once by the results, in L / E passes, rounded up; with "eager" attention by the pattern as well.
    All pairs of all layers at once could be more than memory holds.

    Raises:
        ConfigurationError: a layer that does not call its hook points.
    """
    first_layer: Any = vlm.decoder.layers[0]
    length, width = prompt.length, first_layer.self_attn.head_dim
    for first in range(0, length, width):
        keys = torch.arange(first, min(first + width, length), device="cpu")

        def one_channel_each(v_BLKE: Tensor, where: NamedHook, keys: Tensor = keys) -> Tensor:
            values = torch.zeros_like(v_BLKE)
            values[:, keys, :, keys - keys[0]] = 1
            return values

        def see_result(z_BLHE: Tensor, where: NamedHook, keys: Tensor = keys) -> None:
            pairs = z_BLHE[0, :, :, : len(keys)].transpose(0, 1) != 0
            look(AttendedPairs(where.layer(), False, int(keys[0]), pairs.cpu()))

        def see_pattern(pattern_BHLS: Tensor, where: NamedHook) -> None:
            look(AttendedPairs(where.layer(), True, 0, (pattern_BHLS[0] != 0).cpu()))

        hooks: list[tuple[Names, Hook]] = [
            ("blocks.*.attn.hook_rot_q", lambda q_BLHE, _: torch.zeros_like(q_BLHE)),
            ("blocks.*.attn.hook_v", one_channel_each),
            ("blocks.*.attn.hook_z", see_result),
        ]
        if first == 0 and vlm.decoder.attn_implementation == "eager":
            hooks.append(("blocks.*.attn.hook_pattern", see_pattern))
        vlm.forward(prompt, logits_to_keep=1, fwd_hooks=hooks)


@torch.no_grad()
def changed_states(vlm: VLM, prompt: Prompt, token: int) -> Tensor:
    """bool [layers, L]: which tokens' states, after each layer, change with one token's embedding.

    The same pass runs twice, once with that token's embedding negated: same shapes, same kernels,
    so a state that does not depend on the token is bit for bit the same.
    """

    def negate(states_BLD: Tensor, where: NamedHook) -> Tensor:
        states_BLD = states_BLD.clone()
        states_BLD[:, token] *= -1
        return states_BLD

    both = []
    for edits in ([], [("blocks.0.hook_resid_pre", negate)]):
        states: list[Tensor] = []

        def keep(out_BLD: Tensor, where: NamedHook, kept: list = states) -> None:
            kept.append(out_BLD[0].cpu())

        hooks: list[tuple[Names, Hook]] = [*edits, ("blocks.*.hook_resid_post", keep)]
        vlm.forward(prompt, logits_to_keep=1, fwd_hooks=hooks)
        both.append(torch.stack(states))
    return (both[0] != both[1]).any(-1)
