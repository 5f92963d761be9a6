"""The part of an activation that belongs to some tokens: how to read it and how to replace it.

Shape letters: B batch, L new tokens, S cached and new tokens, N = B * L rows of the flattened
batch, H heads; M chosen tokens, of any samples.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.interventions.passes import Pass
from llavit_lens.model.hook_points import PATTERN_HOOKS, TEXT_HOOKS, VISUAL_HOOKS
from llavit_lens.vlm.hooks import NamedHook


@dataclass(frozen=True)
class BatchTokens:
    """M tokens of a batch.

    Attributes:
        sample: int64 [M], row of the batch.
        place: int64 [M], index among the tokens of the pass.
    """

    sample: Tensor
    place: Tensor

    @classmethod
    def of_samples(cls, places: list[Tensor]) -> BatchTokens:
        """Of each sample the tokens at its places."""
        counts = torch.tensor([len(place) for place in places], device="cpu")
        return cls(
            torch.arange(len(places), device="cpu").repeat_interleave(counts), torch.cat(places)
        )


def read_tokens(hook: NamedHook, activation: Tensor, tokens: BatchTokens, current: Pass) -> Tensor:
    """[M, ...], a copy: of scores and patterns [M, H, S], the rows of the tokens that attend.

    Args:
        hook: where the activation is from.
        activation: what is there.
        tokens: which tokens.
        current: the pass that made it.

    Raises:
        ConfigurationError: the activation is of one branch, and a token takes the other.
    """
    view, index = _by_token(hook, activation, tokens, current)
    return view[index].clone()


def write_tokens(
    hook: NamedHook, activation: Tensor, tokens: BatchTokens, current: Pass, new: Tensor
) -> Tensor:
    """The activation with `new` [M, ...] at the tokens; the given one stays as it is.

    A row of scores or of a pattern may be shorter than there: later keys, those of an answer after
    the prompt, keep what they have, which is nothing for a token that comes before them.

    Raises:
        ConfigurationError: as `read_tokens`; `new` has another shape than what is there.
    """
    changed = activation.clone()
    view, index = _by_token(hook, changed, tokens, current)
    new = new.to(view)
    if hook.kind in PATTERN_HOOKS and new.shape[-1] < view.shape[-1]:
        view = view[..., : new.shape[-1]]
    if new.shape[1:] != view.shape[len(index) :]:
        raise ConfigurationError(
            f"{hook.name} has {list(view.shape[len(index) :])} numbers for a token here and "
            f"{list(new.shape[1:])} in the source: they do not fit into each other's place"
        )
    view[index] = new
    return changed


def _by_token(
    hook: NamedHook, activation: Tensor, tokens: BatchTokens, current: Pass
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """A view of the activation, and an index into it that picks the tokens."""
    sample, place = (index.to(activation.device) for index in (tokens.sample, tokens.place))
    point = hook.kind
    if point in PATTERN_HOOKS:
        return activation.transpose(1, 2), (sample, place)
    if point not in (*TEXT_HOOKS, *VISUAL_HOOKS):
        return activation, (sample, place)
    batch, total = current.is_visual.shape
    length = total - current.past
    rows_M = sample * length + place
    if len(activation) == batch * length:  # there are no branches
        return activation, (rows_M,)
    branch = current.visual_tokens.visual if point in VISUAL_HOOKS else current.visual_tokens.text
    branch = branch.to(activation.device)
    index_M = torch.searchsorted(branch, rows_M).clamp(max=len(branch) - 1)
    missing = branch[index_M] != rows_M
    if bool(missing.any()):
        kind, other = ("visual", "text") if point in VISUAL_HOOKS else ("text", "visual")
        token = int(place[missing][0])
        merged = hook.name.removesuffix(f"_{kind}")
        raise ConfigurationError(
            f"{hook.name} has rows of {kind} tokens only, and token {token} is {other}; use "
            f"{merged}, which has all"
        )
    return activation, (index_M,)
