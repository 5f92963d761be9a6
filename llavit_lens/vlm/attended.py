"""Who attends to whom, read from what attention does and not from weights: any backend will do.

With all queries zero a token attends alike to every key that its mask leaves it, and to no other.
If in addition the value of key j is 1 in one channel of its own and 0 in all others, the result
of token i in that channel is 1 / (keys that i attends to) if i attends to j, else exactly 0.

Shape letters: L tokens, H query heads, K key/value heads, E head width.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from llavit_lens.vlm.hooks import NamedHook
from llavit_lens.vlm.vlm import VLM, Prompt


@torch.no_grad()
def attended_keys(vlm: VLM, prompt: Prompt) -> tuple[Tensor, Tensor]:
    """bool [layers, H, L, L] twice, on the CPU: whether query i attends to key j.

    First by the results, and again by the pattern, which is only there with "eager" attention
    (elsewhere it is the first once more). L / E passes are made, rounded up.
    """
    length, width = prompt.length, _head_width(vlm)
    by_result: list[Tensor] = []
    by_pattern: list[Tensor] = []
    eager = vlm.model.model.language_model.config._attn_implementation == "eager"
    for start in range(0, length, width):
        results: dict[int, Tensor] = {}
        patterns: dict[int, Tensor] = {}

        def one_channel_each(v_BLKE: Tensor, where: NamedHook, start: int = start) -> Tensor:
            keys = torch.arange(start, min(start + width, length), device=v_BLKE.device)
            values = torch.zeros_like(v_BLKE)
            values[:, keys, :, keys - start] = 1
            return values

        def keep_result(z_BLHE: Tensor, where: NamedHook, kept: dict = results) -> None:
            kept[where.layer()] = z_BLHE[0].transpose(0, 1).cpu() != 0

        def keep_pattern(pattern_BHLS: Tensor, where: NamedHook, kept: dict = patterns) -> None:
            kept[where.layer()] = pattern_BHLS[0].cpu() != 0

        hooks = [
            ("blocks.*.attn.hook_rot_q", lambda q_BLHE, _: torch.zeros_like(q_BLHE)),
            ("blocks.*.attn.hook_v", one_channel_each),
            ("blocks.*.attn.hook_z", keep_result),
        ]
        if eager and not by_pattern:
            hooks.append(("blocks.*.attn.hook_pattern", keep_pattern))
        with vlm.hooks(hooks), vlm.reading(prompt.layout, length=length):
            vlm.model(**prompt.inputs, use_cache=False, logits_to_keep=1)
        by_result.append(torch.stack([results[layer] for layer in sorted(results)]))
        if patterns:
            by_pattern.append(torch.stack([patterns[layer] for layer in sorted(patterns)]))
    attended = torch.cat(by_result, dim=-1)[..., :length]
    return attended, by_pattern[0] if by_pattern else attended


@torch.no_grad()
def changed_states(vlm: VLM, prompt: Prompt, token: int) -> Tensor:
    """bool [layers, L]: whose states, after each layer, change with the embedding of one token.

    The same pass runs twice, once with that token's embedding negated: same shapes, same kernels,
    so a state that does not depend on the token is bit for bit the same.
    """

    def negated(states_BLD: Tensor, where: NamedHook) -> Tensor:
        states_BLD = states_BLD.clone()
        states_BLD[:, token] *= -1
        return states_BLD

    before, after = (list(_states(vlm, prompt, edit)) for edit in (None, negated))
    return torch.stack([(a != b).any(-1) for a, b in zip(before, after, strict=True)])


def _states(vlm: VLM, prompt: Prompt, edit: object) -> Iterator[Tensor]:
    """[L, D] after each layer, on the CPU."""
    states: list[Tensor] = []
    hooks: list = [("blocks.*.hook_resid_post", lambda out, _: states.append(out[0].cpu()))]
    if edit is not None:
        hooks.append(("blocks.0.hook_resid_pre", edit))
    with vlm.hooks(hooks), vlm.reading(prompt.layout, length=prompt.length):
        vlm.model(**prompt.inputs, use_cache=False, logits_to_keep=1)
    return iter(states)


def _head_width(vlm: VLM) -> int:
    return int(vlm.model.model.language_model.layers[0].self_attn.head_dim)
