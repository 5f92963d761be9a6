"""Attention written out, with its scores and its pattern shown, for decoders of any family.

A family's own eager attention shows no scores. So the same is computed here step by step: scores, a
soft cap, the mask, sinks, softmax, weighted values. It has to be what the family's own makes in the
same call, or it is refused; and where no hook changes anything, the family's own result is used.

Shape letters: B batch, L new tokens, S cached and new tokens, H query heads, K key/value heads,
E head width.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.attention_calls import AttentionCall, Result

Show = Callable[[Tensor], Tensor]
"""Is given an activation; the same, or what is to take its place, comes back."""


def written_out(call: AttentionCall, show_scores: Show, show_pattern: Show) -> Result:
    """Attend by "eager", with scores and pattern shown: both [B, H, L, S].

    Raises:
        ConfigurationError: the masks of the pass are not those of "eager", or the family's own
            eager attention makes something else of this call.
    """
    if call.implementation != "eager":
        raise ConfigurationError(
            "a hook waits for attention scores or a pattern, but attention was set to "
            f"{call.implementation!r}, which makes none, while it was open; set it before"
        )
    own_z, own_weights = call.attend("eager")
    scores, largest = _scores(call)
    pattern = _pattern(call, scores)
    _check(call, (pattern, own_weights), (_values(call, pattern), own_z), largest)
    shown_scores = show_scores(scores)
    if shown_scores is not scores:
        pattern = _pattern(call, shown_scores)
    shown = show_pattern(pattern)
    if shown_scores is scores and shown is pattern:
        return own_z, own_weights
    return _values(call, shown), shown


def _scores(call: AttentionCall) -> tuple[Tensor, float]:
    """What the softmax is given, [B, H, L, S], and the largest number in it before the mask."""
    scaling = call.options.get("scaling")
    scores = call.q @ _of_heads(call.k, call).transpose(2, 3)
    scores = scores * (call.q.shape[-1] ** -0.5 if scaling is None else scaling)
    cap = call.options.get("softcap")
    if cap is not None:
        scores = torch.tanh(scores / cap) * cap
    largest = float(scores.abs().max())
    if isinstance(call.mask, Tensor):
        mask = call.mask[..., : scores.shape[-1]]
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=scores.dtype).masked_fill(
                ~mask, torch.finfo(scores.dtype).min
            )
        scores = scores + mask
    return scores, largest


def _pattern(call: AttentionCall, scores: Tensor) -> Tensor:
    """The softmax of scores, and of the sink of each head, which no token's weight is made of."""
    sinks = call.options.get("s_aux", getattr(call.attention, "sinks", None))
    if isinstance(sinks, Tensor):
        column = sinks.to(scores).reshape(1, -1, 1, 1).expand(*scores.shape[:-1], 1)
        with_sink = torch.cat([scores, column], dim=-1)
        return with_sink.softmax(-1, dtype=torch.float32)[..., :-1].to(call.q.dtype)
    return scores.softmax(-1, dtype=torch.float32).to(call.q.dtype)


def _values(call: AttentionCall, pattern: Tensor) -> Tensor:
    """The weighted values [B, L, H, E]."""
    dropout = call.options.get("dropout") or 0.0
    weights = nn.functional.dropout(pattern, p=dropout, training=call.attention.training)
    return (weights @ _of_heads(call.v, call)).transpose(1, 2).contiguous()


def _of_heads(x_BKSE: Tensor, call: AttentionCall) -> Tensor:
    """[B, H, S, E]: keys or values for every query head."""
    return x_BKSE.repeat_interleave(call.q.shape[1] // x_BKSE.shape[1], dim=1)


def _check(
    call: AttentionCall,
    pattern: tuple[Tensor, Tensor | None],
    values: tuple[Tensor, Tensor],
    largest: float,
) -> None:
    """Raise ConfigurationError unless what is written out is what the family's own makes.

    A score of size s is rounded by up to s eps, and a weight is then wrong by as much of itself; so
    weights may differ by 4 eps (1 + s), and values by as much of the largest one.
    """
    budget = 4 * torch.finfo(call.q.dtype).eps * (1 + largest)
    largest_value = float(call.v.abs().max())
    for (mine, own), size in ((pattern, 1.0), (values, largest_value)):
        if own is None or own.shape != mine.shape:
            gap = float("inf")
        else:
            gap = float((mine - own).abs().max())
        if not gap <= budget * size:
            raise ConfigurationError(
                f"the attention of {type(call.attention).__name__} is more than scores, soft cap, "
                "mask, sinks and softmax, so its hook_attn_scores and hook_pattern cannot be shown "
                f"(they would be off by {gap:.2g}, and {budget * size:.2g} is rounding); its other "
                "hook points can"
            )
