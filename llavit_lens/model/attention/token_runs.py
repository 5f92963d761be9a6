"""Eq. 8 without a mask: the tokens of a batch as runs of text and runs of visual tokens.

A text token attends causally, so a run of text is one causal call over everything up to its end. A
visual token attends to what comes before it and to all visual tokens, which is the same set for a
whole run: the tokens up to the end of the run and the visual ones after it. So a run of visual
tokens is one call without any mask over exactly those keys. Every query is in one run, every
softmax is whole, and no two results have to be merged: the calls are exact, not an approximation.

Shape letters: B batch, L new tokens, P cached tokens; R query rows of the flattened [B * L], M key
rows of the flattened [B * (P + L)], both over all calls of a kind.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.positions import VisualPositions


class Calls(NamedTuple):
    """Attention calls of one kind, one after another; calls of equal lengths are neighbors."""

    queries: Tensor
    """[R] int64, query rows."""
    keys: Tensor
    """[M] int64, key rows; a row that several calls read is there several times."""
    query_lengths: tuple[int, ...]
    """How many of the query rows belong to each call."""
    key_lengths: tuple[int, ...]
    query_starts: Tensor
    """[calls + 1] int32, where the rows of each call start, and the end: kernels for calls of
    different lengths take them in this form."""
    key_starts: Tensor


class Runs(NamedTuple):
    """What a forward pass attends to: computed once, used in every layer.

    NamedTuples because accelerate moves those along when a model is spread over several devices.
    """

    text: Calls
    """Causal calls: the last query sees all keys of its call, the one before all but one..."""
    visual: Calls
    """Calls in which every query sees every key."""
    length: int
    """P + L: a cache may hold room for more."""


def find_runs(
    positions: VisualPositions,
    attention_mask: Tensor | None,
    sample_BL: Tensor | None,
) -> Runs:
    """The runs of L new tokens after P cached ones; no cached token is visual.

    `attention_mask` is the padding mask [B, P + L] or None; padding is in no run. `sample_BL`
    numbers the samples that are packed into a row, for rows without cache and padding.

    Raises ConfigurationError for a padding mask of another shape.
    """
    new_BL = positions.new_BL
    past = 0 if positions.past_BP is None else positions.past_BP.shape[1]
    batch, length = new_BL.shape[0], past + new_BL.shape[1]
    if attention_mask is not None and attention_mask.shape != (batch, length):
        raise ConfigurationError(
            f"attention_mask has shape {tuple(attention_mask.shape)}; expected {(batch, length)}, "
            "one entry for each cached and each new token."
        )
    # On the CPU in one copy: what follows reads single values.
    is_visual = torch.nn.functional.pad(new_BL, (past, 0)).cpu()
    is_real = None if attention_mask is None else attention_mask.bool().cpu()
    sample = None if sample_BL is None else sample_BL.cpu()
    text: list[tuple[Tensor, Tensor]] = []
    visual: list[tuple[Tensor, Tensor]] = []
    for row in range(batch):
        columns = torch.arange(length) if is_real is None else is_real[row].nonzero().squeeze(1)
        for tokens in _samples(columns, None if sample is None else sample[row]):
            flags = is_visual[row, tokens]
            cached = int((tokens < past).sum())
            start = 0
            kinds, counts = torch.unique_consecutive(flags, return_counts=True)
            for kind, count in zip(kinds.tolist(), counts.tolist(), strict=True):
                end = start + count
                queries = row * (length - past) + tokens[max(start, cached) : end] - past
                keys = row * length + tokens[:end]
                if kind:
                    later = row * length + tokens[end:][flags[end:]]
                    visual.append((queries, torch.cat([keys, later])))
                elif len(queries) > 0:
                    text.append((queries, keys))
                start = end
    return Runs(_calls(text, new_BL.device), _calls(visual, new_BL.device), length)


def _samples(columns: Tensor, sample: Tensor | None) -> tuple[Tensor, ...]:
    """The columns of each sample of a row."""
    if sample is None:
        return (columns,)
    _, counts = torch.unique_consecutive(sample[columns], return_counts=True)
    return columns.split(counts.tolist())


def _calls(runs: list[tuple[Tensor, Tensor]], device: torch.device) -> Calls:
    runs = sorted(runs, key=lambda run: (len(run[0]), len(run[1])))
    none = torch.zeros(0, dtype=torch.int64)
    query_lengths = tuple(len(queries) for queries, _ in runs)
    key_lengths = tuple(len(keys) for _, keys in runs)
    return Calls(
        torch.cat([none, *(queries for queries, _ in runs)]).to(device),
        torch.cat([none, *(keys for _, keys in runs)]).to(device),
        query_lengths,
        key_lengths,
        _starts(query_lengths, device),
        _starts(key_lengths, device),
    )


def _starts(lengths: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor((0, *lengths)).cumsum(0).to(device, torch.int32)
