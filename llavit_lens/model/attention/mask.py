"""The attention mask of Eq. 8, built by transformers' own mask builder.

Token i attends to token j if j <= i, or if both are visual tokens. A decoder's sliding window of w
tokens narrows the first case to i - w < j <= i and leaves the second as it is: by Eq. 8 all visual
tokens see each other, however far apart.

Shape letters: B batch, S cached and new tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedConfig
from transformers.cache_utils import Cache
from transformers.masking_utils import create_masks_for_generate
from transformers.utils import is_flash_attn_2_available
from transformers.utils.generic import is_flash_attention_requested

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.positions import VisualPositions, packed_samples
from llavit_lens.model.compat import CACHE

SDPA_IN_RUNS, FLASH_IN_RUNS = "llavit_sdpa", "llavit_fa2"
"""Attention in runs (see `backends`), on torch's own kernels and on flash-attn 2."""

MASKING_IMPLEMENTATIONS = ("eager", "sdpa", "flex_attention", SDPA_IN_RUNS)
"""Attention implementations that are known to honor the mask they are given."""


def check_attention(attn_implementation: str | None) -> None:
    """Raise ConfigurationError for any flavor of flash attention that would ignore Eq. 8, and for
    `llavit_fa2` where flash-attn 2 cannot be used.
    """
    exact = ", ".join(MASKING_IMPLEMENTATIONS)
    if is_flash_attention_requested(requested_attention_implementation=attn_implementation):
        if is_flash_attn_2_available():
            exact += f", {FLASH_IN_RUNS} (flash-attn 2 in exact pieces)"
        raise ConfigurationError(
            f"attn_implementation={attn_implementation!r} ignores the mask between visual tokens "
            f"(Eq. 8); use one of {exact}."
        )
    if attn_implementation == FLASH_IN_RUNS and not is_flash_attn_2_available():
        raise ConfigurationError(
            f"attn_implementation={FLASH_IN_RUNS!r} needs the package flash-attn (2.1 or newer) "
            f"and a GPU that it supports; use one of {exact}."
        )


def check_bidirectional(positions: VisualPositions, attention_mask: Any) -> Tensor:
    """Which cached tokens are visual [B, P] (none is), if Eq. 8 can be honored.

    Raises ConfigurationError where `attention_mask` is a ready-made mask, and where visual tokens
    that are cached would have to attend to new ones.
    """
    if attention_mask is not None and getattr(attention_mask, "ndim", None) != 2:
        raise ConfigurationError(
            "attention_mask is a ready-made mask, but visual_attention='bidirectional' builds its "
            "own (Eq. 8); pass the padding mask [batch, sequence], or use 'causal'."
        )
    if positions.past_BP is None or positions.past_BP.any():
        raise ConfigurationError(
            "New visual tokens after cached ones: those would have to attend to the new ones "
            "(Eq. 8), but their keys and values are fixed; start again without the cache. (If only "
            "text is cached, pass mm_token_type_ids for the cached and the new tokens.)"
        )
    return positions.past_BP


def bidirectional_mask(
    text_config: PreTrainedConfig,
    positions: VisualPositions,
    attention_mask: Tensor | None,
    past_key_values: Cache | None,
    position_ids: Tensor | None,
    dtype: torch.dtype,
    create_masks: Callable[..., Any] = create_masks_for_generate,
) -> Any:
    """The mask of Eq. 8 in the form that the decoder and its attention implementation want.

    `attention_mask` is the padding mask [B, S] or None; `dtype` is that of an additive mask;
    `create_masks` is the decoder's own (see `VisualDecoder`).
    Samples packed into one row do not see each other; `position_ids` that start again show where
    the next one begins.

    Raises ConfigurationError if the attention implementation is not known to apply masks, or in the
    cases of `check_bidirectional`.
    """
    past_BP = check_bidirectional(positions, attention_mask)
    if text_config._attn_implementation not in MASKING_IMPLEMENTATIONS:
        raise ConfigurationError(
            f"attn_implementation={text_config._attn_implementation!r} is not known to honor the "
            f"mask between visual tokens (Eq. 8); use one of {', '.join(MASKING_IMPLEMENTATIONS)}."
        )
    is_visual_BS = torch.cat([past_BP, positions.new_BL], dim=1)
    sample_BL = packed_samples(attention_mask, past_key_values, position_ids)
    sample_BS: Tensor | int = 0 if sample_BL is None else sample_BL
    return create_masks(
        config=text_config,
        # Only its shape, dtype and device are read.
        inputs_embeds=positions.new_BL.new_empty(*positions.new_BL.shape, 0, dtype=dtype),
        attention_mask=attention_mask,
        position_ids=position_ids,
        **{CACHE: past_key_values},
        block_sequence_ids=torch.where(is_visual_BS, sample_BS, -1),
    )
