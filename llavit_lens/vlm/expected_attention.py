"""Which token may attend to which, as the config or an intervention says.

Shape letters: L tokens.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from llavit_lens.rows import VisualAttentionMode
from llavit_lens.vlm.decoder import Decoder
from llavit_lens.vlm.prompt import Prompt

Mode = Literal[VisualAttentionMode, "self"]
"""How visual tokens attend to visual tokens: "causal", to earlier ones; "bidirectional", to all
(Eq. 8); "none", they get no update at all (Eq. 5); "self", to themselves alone, which no model is
trained with."""


def expected_mask(is_visual: Tensor, mode: Mode, window: int | None = None) -> Tensor:
    """bool [L, L], whether query i attends to key j.

    "causal": j <= i, and i - window < j in a sliding window; "bidirectional": or both are visual
    (Eq. 8); "self": causal, but of visual tokens each sees only itself; "none": causal for text,
    and nothing for visual tokens, which have no update (Eq. 5).
    """
    token = torch.arange(len(is_visual), device="cpu")
    query, key = token[:, None], token[None]
    allowed = key <= query
    if window is not None:
        allowed = allowed & (key > query - window)
    among = is_visual[:, None] & is_visual[None]
    if mode == "bidirectional":
        return allowed | among
    if mode == "self":
        return allowed & (~among | (query == key))
    return allowed & ~is_visual[:, None] if mode == "none" else allowed


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
    return [getattr(layer.self_attn, "sliding_window", of_all) for layer in decoder.layers]
