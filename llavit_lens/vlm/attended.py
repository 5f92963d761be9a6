"""Who attends to whom, read from what attention does and not from weights: any backend will do.

With all queries zero a token attends alike to every key that its mask leaves it, and to no other.
If in addition the value of key j is 1 in one channel of its own and 0 in all others, the result
of token i in that channel is 1 / (keys that i attends to) if i attends to j, else exactly 0.

Shape letters: L tokens, H query heads, K key/value heads, E head width.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.hooks import Hook, NamedHook, Names
from llavit_lens.vlm.vlm import VLM, Prompt


@torch.no_grad()
def attended_keys(vlm: VLM, prompt: Prompt) -> tuple[Tensor, Tensor | None]:
    """bool [layers, H, L, L], on the CPU, whether query i attends to key j; twice.

    First by the results, in L / E passes, rounded up; and by the pattern, None without "eager"
    attention.

    Raises:
        ConfigurationError: a layer whose hook points are passed by.
    """
    layers: Any = vlm.model.model.language_model.layers
    length, width = prompt.length, layers[0].self_attn.head_dim
    by_result: list[Tensor] = []
    patterns: dict[int, Tensor] = {}
    for start in range(0, length, width):
        results: dict[int, Tensor] = {}

        def one_channel_each(v_BLKE: Tensor, where: NamedHook, start: int = start) -> Tensor:
            keys = torch.arange(start, min(start + width, length), device=v_BLKE.device)
            values = torch.zeros_like(v_BLKE)
            values[:, keys, :, keys - start] = 1
            return values

        def keep_result(z_BLHE: Tensor, where: NamedHook, kept: dict = results) -> None:
            kept[where.layer()] = z_BLHE[0].transpose(0, 1).cpu() != 0

        def keep_pattern(pattern_BHLS: Tensor, where: NamedHook) -> None:
            patterns[where.layer()] = pattern_BHLS[0].cpu() != 0

        hooks: list[tuple[Names, Hook]] = [
            ("blocks.*.attn.hook_rot_q", lambda q_BLHE, _: torch.zeros_like(q_BLHE)),
            ("blocks.*.attn.hook_v", one_channel_each),
            ("blocks.*.attn.hook_z", keep_result),
        ]
        if start == 0 and vlm.model.model.language_model.config._attn_implementation == "eager":
            hooks.append(("blocks.*.attn.hook_pattern", keep_pattern))
        _run(vlm, prompt, hooks)
        if len(results) != len(layers):
            missing = min(set(range(len(layers))) - set(results))
            raise ConfigurationError(
                f"decoder layer {missing} did not pass its hook points, so something has replaced "
                "its attention; load the model anew"
            )
        by_result.append(torch.stack([results[layer] for layer in range(len(layers))]))
    attended = torch.cat(by_result, dim=-1)[..., :length]
    if not patterns:
        return attended, None
    return attended, torch.stack([patterns[layer] for layer in range(len(layers))])


@torch.no_grad()
def changed_states(vlm: VLM, prompt: Prompt, token: int) -> Tensor:
    """bool [layers, L]: whose states, after each layer, change with the embedding of one token.

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

        _run(vlm, prompt, [*edits, ("blocks.*.hook_resid_post", keep)])
        both.append(torch.stack(states))
    return (both[0] != both[1]).any(-1)


def _run(vlm: VLM, prompt: Prompt, hooks: list[tuple[Names, Hook]]) -> None:
    with vlm.hooks(hooks), vlm.reading(prompt.layout, length=prompt.length):
        vlm.model(**prompt.inputs, use_cache=False, logits_to_keep=1)
