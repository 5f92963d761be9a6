"""Runs reach exactly what Eq. 8 allows, and attention over them is attention under that mask."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.attention.backends import attend_in_runs, llavit_sdpa, sdpa_kernel
from llavit_lens.model.attention.positions import VisualPositions
from llavit_lens.model.attention.token_runs import Runs, find_runs


@dataclass
class Batch:
    """Rows of tokens, the first `past` of them cached, with padding or packed samples."""

    visual: list[list[bool]]
    padding: list[list[bool]] | None
    sample: list[list[int]] | None
    past: int

    def allowed(self) -> Tensor:
        """[B, L, P + L], Eq. 8 as a double loop; a row of padding reaches nothing."""
        length = len(self.visual[0])
        allowed = torch.zeros(len(self.visual), length - self.past, length, dtype=torch.bool)
        for row, visual in enumerate(self.visual):
            pad = self.padding[row] if self.padding else [False] * length
            sample = self.sample[row] if self.sample else [0] * length
            for i in range(self.past, length):
                for j in range(length):
                    allowed[row, i - self.past, j] = (
                        (j <= i or (visual[i] and visual[j]))
                        and sample[i] == sample[j]
                        and not pad[i]
                        and not pad[j]
                    )
        return allowed

    def runs(self) -> Runs:
        visual = torch.tensor(self.visual)
        return find_runs(
            VisualPositions(visual[:, self.past :], visual[:, : self.past]),
            None if self.padding is None else (~torch.tensor(self.padding)).long(),
            None if self.sample is None else torch.tensor(self.sample),
        )


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Padded left, right or in the middle, after cached text, or packed; images of any size."""
    length, rows = draw(st.integers(1, 14)), draw(st.integers(1, 3))
    booleans = st.lists(st.booleans(), min_size=length, max_size=length)
    visual = [draw(booleans) for _ in range(rows)]
    if draw(st.booleans()):
        starts = [draw(booleans) for _ in range(rows)]
        sample = [[sum(row[: i + 1]) for i in range(length)] for row in starts]
        return Batch(visual, None, sample, past=0)
    past = draw(st.integers(0, length - 1))
    padding = [draw(booleans) for _ in range(rows)] if draw(st.booleans()) else None
    for row, flags in enumerate(visual):
        flags[:past] = [False] * past
        if padding:
            visual[row] = [a and not b for a, b in zip(flags, padding[row], strict=True)]
    return Batch(visual, padding, None, past)


def reached(runs: Runs, batch: int, new: int) -> Tensor:
    """[B, L, P + L], how often each query reaches each key."""
    count = torch.zeros(batch * new, batch * runs.length, dtype=torch.long)
    for calls, causal in ((runs.text, True), (runs.visual, False)):
        assert (
            calls.query_starts.tolist()[1:] == torch.tensor(calls.query_lengths).cumsum(0).tolist()
        )
        assert calls.key_starts.tolist()[1:] == torch.tensor(calls.key_lengths).cumsum(0).tolist()
        assert calls.query_starts.dtype == torch.int32
        queries = calls.queries.split(calls.query_lengths)
        keys = calls.keys.split(calls.key_lengths)
        for query_rows, key_rows in zip(queries, keys, strict=True):
            for index, query in enumerate(query_rows):
                seen = len(key_rows) - (len(query_rows) - 1 - index) if causal else len(key_rows)
                count[query].index_add_(0, key_rows[:seen], torch.ones(seen, dtype=torch.long))
    rows = count.view(batch, new, batch, runs.length)
    for row in range(batch):  # rows of a batch never reach each other
        others = [other for other in range(batch) if other != row]
        assert not rows[row][:, others].any()
    return torch.stack([rows[row, :, row] for row in range(batch)])


@pytest.mark.long
@settings(max_examples=100)
@given(batches())
def test_runs_reach_each_allowed_key_once_and_no_other(batch: Batch) -> None:
    allowed = batch.allowed()
    assert torch.equal(reached(batch.runs(), *allowed.shape[:2]), allowed.long())


@settings(max_examples=60)
@given(batches())
def test_every_query_but_padding_is_in_one_run(batch: Batch) -> None:
    runs = batch.runs()
    rows = torch.cat([runs.text.queries, runs.visual.queries])
    new = torch.tensor(batch.visual)[:, batch.past :]
    real = torch.ones_like(new)
    if batch.padding is not None:
        real = ~torch.tensor(batch.padding)[:, batch.past :]
    assert torch.equal(rows.sort().values, real.flatten().nonzero().squeeze(1))
    assert torch.equal(runs.visual.queries.sort().values, new.flatten().nonzero().squeeze(1))


def test_calls_of_equal_lengths_are_neighbors() -> None:
    """So that images at the same place of several rows are one batch for the kernel."""
    rows = [[0, 1, 1, 0, 0], [0, 0, 1, 0, 0], [0, 1, 1, 0, 0]]
    runs = Batch([[bool(flag) for flag in row] for row in rows], None, None, 0).runs()
    assert list(zip(runs.visual.query_lengths, runs.visual.key_lengths, strict=True)) == [
        (1, 3),
        (2, 3),
        (2, 3),
    ]


def test_a_padding_mask_of_another_length_is_refused() -> None:
    new = torch.zeros(1, 4, dtype=torch.bool)
    with pytest.raises(ConfigurationError, match=r"has shape \(1, 3\); expected \(1, 4\)"):
        find_runs(VisualPositions(new, new[:, :0]), torch.ones(1, 3), None)


class Attention(nn.Module):
    """What the attention functions of transformers read off a module."""

    num_key_value_groups = 2
    is_causal = True


def naive_attention(q: Tensor, k: Tensor, v: Tensor, allowed: Tensor) -> Tensor:
    """[B, L, H, E], query by query; zero for a query that reaches nothing."""
    batch, heads, new, width = q.shape
    rows = []
    for b in range(batch):
        for i in range(new):
            seen = allowed[b, i].nonzero().squeeze(1)
            for head in range(heads):
                group = head // 2
                if len(seen) == 0:
                    rows.append(0 * q[b, head, i])
                    continue
                scores = k[b, group, seen] @ q[b, head, i] / math.sqrt(width)
                rows.append(torch.softmax(scores, 0) @ v[b, group, seen])
    return torch.stack(rows).view(batch, new, heads, width)


@pytest.mark.long
@settings(max_examples=40)
@given(batches(), st.integers(0, 3))
def test_attention_in_runs_is_masked_attention(batch: Batch, room: int) -> None:
    """Forward and backward in float64, with room left in a static cache after the last key.

    Sums of at most 14 terms of order 1: some dozen roundings of 2^-53; 1e-13 is allowed.
    """
    allowed = batch.allowed()
    size, new, length = allowed.shape
    torch.manual_seed(0)
    shapes = [(size, 4, new, 6), (size, 2, length + room, 6), (size, 2, length + room, 6)]
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    naive = naive_attention(*inputs, allowed)
    runs = batch.runs()
    in_runs = attend_in_runs(sdpa_kernel(Attention(), 0.0, 6**-0.5), *inputs, runs)
    in_runs = in_runs + 0 * inputs[0].transpose(1, 2)  # a graph even if all is padding
    registered, weights = llavit_sdpa(
        Attention(), *inputs, None, scaling=6**-0.5, attention_runs=runs
    )
    assert weights is None
    assert torch.equal(registered, in_runs.detach())
    assert (in_runs - naive).abs().max() <= 1e-13
    direction = torch.randn_like(naive)
    expected = torch.autograd.grad((naive * direction).sum(), inputs, allow_unused=True)
    got = torch.autograd.grad((in_runs * direction).sum(), inputs, allow_unused=True)
    for one, two, x in zip(expected, got, inputs, strict=True):
        zero = torch.zeros_like(x)
        assert (
            (zero if one is None else one) - (zero if two is None else two)
        ).abs().max() <= 1e-13


def test_the_cost_is_the_allowed_pairs_and_little_more() -> None:
    """One image in a prompt: no key is computed against a query that may not see it, but for the
    upper triangle of the causal calls on text.
    """
    visual = [[20 <= i < 84 for i in range(120)]]
    batch = Batch(visual, None, None, 0)
    runs = batch.runs()
    pairs: Any = sum(
        q * k
        for calls in (runs.text, runs.visual)
        for q, k in zip(calls.query_lengths, calls.key_lengths, strict=True)
    )
    assert pairs - int(batch.allowed().sum()) == (20 * 19 + 36 * 35) // 2
