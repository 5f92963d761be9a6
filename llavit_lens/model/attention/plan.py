"""How a forward pass attends: by transformers' causal mask, by the mask of Eq. 8, or in runs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.mask import (
    FLASH_IN_RUNS,
    SDPA_IN_RUNS,
    bidirectional_mask,
    check_bidirectional,
)
from llavit_lens.model.attention.positions import VisualPositions, packed_samples
from llavit_lens.model.attention.token_runs import find_runs
from llavit_lens.model.decoders import VisualDecoder


def plan_attention(
    decoder: VisualDecoder,
    positions: VisualPositions | None,
    attention_mask: Any,
    past_key_values: Cache | None,
    position_ids: Tensor | None,
    new_shape: torch.Size,
) -> dict[str, Any]:
    """Arguments for the decoder: `attention_mask`, and `attention_runs` where it attends in runs.

    `positions` are those of the visual tokens that attend to each other, None if none do;
    `new_shape` is [B, L].

    Raises ConfigurationError where that cannot be honored: see `check_bidirectional`; attention
    that is not known to apply masks; and, since flash-attn has no masks, windows and caches that
    `llavit_fa2` could not serve.
    """
    implementation = decoder.config._attn_implementation
    if implementation == FLASH_IN_RUNS and getattr(past_key_values, "is_compileable", False):
        raise ConfigurationError(
            f"attn_implementation={FLASH_IN_RUNS!r} cannot see how full a static cache is; "
            f"use a dynamic one, or {SDPA_IN_RUNS!r}."
        )
    sample_BL = packed_samples(attention_mask, past_key_values, position_ids)
    # Without runs flash-attn would separate packed samples only in a batch of one row.
    packed_flash = sample_BL is not None and implementation == FLASH_IN_RUNS
    if positions is None and not packed_flash:
        return {"attention_mask": attention_mask}
    if positions is None:
        none_BL = torch.zeros(new_shape, dtype=torch.bool)
        positions = VisualPositions(none_BL, none_BL[:, :0])
    past_BP = check_bidirectional(positions, attention_mask)
    length, window = past_BP.shape[1] + new_shape[1], decoder.window
    # A run of visual tokens sees one set of keys only if no window moves along with the tokens.
    if implementation in (SDPA_IN_RUNS, FLASH_IN_RUNS) and (window is None or length <= window):
        if sample_BL is not None:
            sample_BL = sample_BL.expand(new_shape)
        return {
            "attention_mask": None,
            "attention_runs": find_runs(positions, attention_mask, sample_BL),
        }
    if implementation == FLASH_IN_RUNS:
        raise ConfigurationError(
            f"The sequence of {length} tokens is longer than the decoder's sliding window of "
            f"{window}, which attn_implementation={FLASH_IN_RUNS!r} cannot combine with visual "
            f"tokens that see each other (Eq. 8) or with packed samples; use {SDPA_IN_RUNS!r}."
        )
    mask = bidirectional_mask(
        decoder.config,
        positions,
        attention_mask,
        past_key_values,
        position_ids,
        decoder.dtype,
        decoder.create_masks,
    )
    return {"attention_mask": mask}
