"""Which token may attend to which, as the config or an intervention says.

Shape letters: L tokens.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from llavit_lens.rows import VisualAttentionMode
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.prompt import Prompt

if TYPE_CHECKING:
    from llavit_lens.vlm.vlm import VLM

Mode = Literal[VisualAttentionMode, "self"]
"""How visual tokens attend to visual tokens: "causal", to earlier ones; "bidirectional", to all
(Eq. 8); "none", they get no update at all (Eq. 5); "self", to themselves alone, which no model is
trained with."""


def expected_mask(
    is_visual: Tensor,
    mode: Mode | None,
    window: int | None = None,
    blocks: Tensor | None = None,
) -> Tensor:
    """bool [L, L], whether query i attends to key j.

    "causal": j <= i, and i - window < j in a sliding window; "bidirectional": or both are visual
    (Eq. 8); "self": causal, but of visual tokens each sees only itself; "none": causal for text,
    and nothing for visual tokens, which have no update (Eq. 5).

    With `blocks` (see `own_blocks`), all of these change the model's own mask, by which tokens of
    one block see each other, too, within the window; "causal" then undoes that for visual tokens
    and all that see later ones. None is the model's own mask as it is.
    """
    token = torch.arange(len(is_visual), device="cpu")
    query, key = token[:, None], token[None]
    allowed = key <= query
    if blocks is not None:
        allowed = allowed | ((blocks[:, None] == blocks) & (blocks >= 0))
    if window is not None:
        allowed = allowed & (key > query - window)
    among = is_visual[:, None] & is_visual[None]
    if mode == "bidirectional":
        return allowed | among
    if mode == "self":
        return allowed & (~among | (query == key))
    if mode == "none":
        return allowed & ~is_visual[:, None]
    if mode == "causal":
        sees_later = is_visual | (allowed & (key > query) & is_visual).any(1)
        return allowed & ((key <= query) | ~(sees_later[:, None] | sees_later))
    return allowed


def own_blocks(vlm: VLM, prompt: Prompt) -> Tensor | None:
    """int64 [L], which tokens see each other by the model's own design: those of one number; -1:
    as by a causal mask. None where the mode of visual attention says it all."""
    return vlm.family.blocks(prompt.inputs) if vlm.visual_attention == "bidirectional" else None


def visual_mask(prompt: Prompt) -> Tensor:
    """bool [L], True at all visual tokens, also at those that are no patches."""
    is_visual = torch.zeros(prompt.length, dtype=torch.bool, device="cpu")
    for layout in prompt.layouts:
        is_visual[layout.all_positions] = True
    return is_visual


def sliding_windows(decoder: Decoder) -> list[int | None]:
    """The sliding window of every layer, None where it has none."""
    # some families have one window for all layers, in their config
    of_all = getattr(decoder.config, "sliding_window", None)
    kinds = getattr(decoder.config, "layer_types", None) or ()
    if len(kinds) != decoder.n_layers:
        kinds = [None] * decoder.n_layers
    return [
        getattr(
            getattr(layer, "self_attn", None),
            "sliding_window",
            of_all if kind in (None, "sliding_attention") else None,
        )
        for layer, kind in zip(decoder.layers, kinds, strict=True)
    ]
