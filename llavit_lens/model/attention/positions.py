"""Which tokens are visual, by the arguments of a forward pass.

Shape letters: B batch, L new tokens, P cached tokens.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import Tensor
from transformers.cache_utils import Cache
from transformers.masking_utils import find_packed_sequence_indices

from llavit_lens.errors import ConfigurationError

IMAGE_TOKEN_TYPE = 1
"""The value of `mm_token_type_ids` at visual tokens, as transformers' processors write it."""


class VisualPositions(NamedTuple):
    """True where a token is visual."""

    new_BL: Tensor
    past_BP: Tensor | None
    """None if the kind of the cached tokens is unknown."""


def find_visual_positions(
    input_ids: Tensor | None,
    inputs_embeds: Tensor | None,
    mm_token_type_ids: Tensor | None,
    past: int,
    image_token_id: int,
) -> VisualPositions:
    """The visual positions of L new tokens after `past` cached ones.

    `mm_token_type_ids` is [B, L] or [B, past + L] and decides; without it, visual tokens are
    those of `input_ids` [B, L] that are the image token.

    Raises ConfigurationError for `inputs_embeds` alone, and for `mm_token_type_ids` of any other
    shape.
    """
    new = input_ids if input_ids is not None else inputs_embeds
    if new is None:
        raise ConfigurationError("Pass input_ids or inputs_embeds.")
    if mm_token_type_ids is None:
        if input_ids is None:
            raise ConfigurationError(
                "inputs_embeds do not say which tokens are visual; "
                "pass mm_token_type_ids (1 = visual, 0 = text) too."
            )
        is_visual = input_ids == image_token_id
        return VisualPositions(is_visual, past_BP=is_visual[:, :0] if past == 0 else None)

    batch, length = new.shape[:2]
    if mm_token_type_ids.shape not in ((batch, length), (batch, past + length)):
        raise ConfigurationError(
            f"mm_token_type_ids has shape {tuple(mm_token_type_ids.shape)}; expected "
            f"{(batch, length)} for the new tokens or {(batch, past + length)} with cached ones."
        )
    is_visual = mm_token_type_ids == IMAGE_TOKEN_TYPE
    covers_past = mm_token_type_ids.shape[1] == past + length
    return VisualPositions(is_visual[:, -length:], is_visual[:, :past] if covers_past else None)


def require_image_tokens(new_BL: Tensor, input_ids: Tensor, image_token_id: int) -> None:
    """Image features go where `input_ids` [B, L] hold the image token; so must mask and routing.

    Raises ConfigurationError if `new_BL` says otherwise.
    """
    if not new_BL.equal(input_ids == image_token_id):
        raise ConfigurationError(
            "mm_token_type_ids do not mark the image tokens of input_ids, where the image features "
            "go; pass those that the processor returned with input_ids, or none."
        )


def packed_samples(
    attention_mask: Any, past_key_values: Cache | None, position_ids: Tensor | None
) -> Tensor | None:
    """[B, L], a number for each sample packed into a row, or None if rows are single samples.

    Positions that start again show where the next sample begins, in rows without cache. A padding
    mask [B, L] without padding means the same as none: a caller that finds samples must not pass
    it on.

    Raises ConfigurationError for samples packed into rows that are padded, too.
    """
    if past_key_values is not None or position_ids is None:
        return None
    if attention_mask is None:
        return find_packed_sequence_indices(position_ids)
    if getattr(attention_mask, "ndim", None) != 2:
        return None  # a ready-made mask, which separates samples itself
    real_BL = attention_mask != 0
    if real_BL.all():
        return find_packed_sequence_indices(position_ids)
    if real_BL.shape[1] == position_ids.shape[1] and _start_again(position_ids, real_BL):
        raise ConfigurationError(
            "position_ids start again within a row, so it holds several samples, but "
            "attention_mask marks padding, too, and a padding mask cannot keep samples apart; pack "
            "samples without padding and attention_mask, or pass one sample per row."
        )
    return None


def _start_again(position_ids: Tensor, real_BL: Tensor) -> bool:
    """Whether the positions [B or 1, L] of real tokens ever fail to rise."""
    # The positions of padding mean nothing: here it repeats the last real one.
    seen_BL = position_ids.expand(real_BL.shape).masked_fill(~real_BL, -1).cummax(dim=1).values
    rises_BL = position_ids[:, 1:] > seen_BL[:, :-1]
    return bool((real_BL[:, 1:] & ~rises_BL).any())
