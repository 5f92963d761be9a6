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
from torch import Tensor, nn

from llavit_lens.model.decoders import rebuilds
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

    Layers are left out that have no hook point for what their heads read (see `seen_layers`).

    Raises:
        ConfigurationError: a layer that does not call its hook points.
    """
    layers = seen_layers(vlm)
    if not layers:
        return
    length, width = prompt.length, _least_width(vlm, prompt, layers)
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
            (_points(layers, "rot_q"), lambda q_BLHE, _: torch.zeros_like(q_BLHE)),
            (_points(layers, "v"), one_channel_each),
            (_points(layers, "z"), see_result),
        ]
        if first == 0 and vlm.decoder.attn_implementation == "eager":
            hooks.append((_points(layers, "pattern"), see_pattern))
        vlm.forward(prompt, logits_to_keep=1, fwd_hooks=hooks)


def seen_layers(vlm: VLM) -> list[int]:
    """The layers in which it can be seen who attends to whom."""
    named = (NamedHook(name) for name in vlm.hook_names)
    return [hook.layer() for hook in named if hook.kind == "hook_z"]


def _points(layers: list[int], short: str) -> list[str]:
    return [f"blocks.{layer}.attn.hook_{short}" for layer in layers]


def _least_width(vlm: VLM, prompt: Prompt, layers: list[int]) -> int:
    """E, the width of values, of the layer where it is least."""
    if rebuilds(vlm.model):
        first_layer: Any = vlm.decoder.layers[0]
        return int(first_layer.self_attn.head_dim)
    widths: list[int] = []

    def see(v_BLKE: Tensor, where: NamedHook) -> None:
        widths.append(v_BLKE.shape[-1])

    vlm.forward(prompt, logits_to_keep=1, fwd_hooks=[(_points(layers, "v"), see)])
    return min(widths)


def rounding(vlm: VLM) -> float:
    """By how much states may change, as a share of the largest one, with tokens on which they do
    not depend: 0 but in mixtures of experts, which add up in an order that depends on all tokens.
    """
    return 64 * torch.finfo(vlm.dtype).eps if any(map(_has_experts, vlm.decoder.layers)) else 0.0


def _has_experts(layer: nn.Module) -> bool:
    """Whether a layer holds weights of several experts, in a list or on top of each other."""
    if any(isinstance(part, nn.ModuleList) for part in layer.modules()):
        return True
    stacked = (weight for part in layer.modules() for weight in part.parameters(recurse=False))
    convolutions = {
        id(part.weight) for part in layer.modules() if isinstance(part, nn.modules.conv._ConvNd)
    }
    return any(weight.ndim == 3 and id(weight) not in convolutions for weight in stacked)


@torch.no_grad()
def changed_states(vlm: VLM, prompt: Prompt, token: int) -> Tensor:
    """bool [layers, L]: which tokens' states, after each layer, change with one token's embedding.

    The same pass runs twice, once with that token's embedding negated: same shapes, same kernels,
    so a state that does not depend on the token is bit for bit the same (but see `rounding`).
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
    share = rounding(vlm)
    if not share:
        return (both[0] != both[1]).any(-1)
    largest = both[0].abs().amax((1, 2), keepdim=True)
    return ((both[0] - both[1]).abs() > share * largest).any(-1)
