"""Streaming top-k against a naive float64 computation, over odd sizes and tilings."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens import topk
from llavit_lens.lens.topk import topk_unembed


class Problem(NamedTuple):
    hidden: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    k: int
    budget_bytes: int
    narrowest: int


@st.composite
def problems(draw: st.DrawFn, integers: bool) -> Problem:
    n, d, v = draw(st.integers(1, 17)), draw(st.integers(1, 13)), draw(st.integers(1, 131))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    spread = draw(st.sampled_from([0.01, 1.0, 30.0]))

    def tensor(*shape: int) -> torch.Tensor:
        if integers:  # few distinct logits, all exact in float32: ties everywhere, in any tiling
            return torch.randint(-2, 3, shape, generator=generator).float()
        return torch.randn(shape, generator=generator) * spread

    bias = tensor(v) if draw(st.booleans()) else None
    cells = draw(st.integers(1, 2 * n * v))  # tiles from one cell to more than everything
    return Problem(
        tensor(n, d),
        tensor(v, d),
        bias,
        draw(st.integers(1, v)),
        12 * cells,
        draw(st.integers(1, v)),
    )


def run(problem: Problem, tracked: list[int] | None = None) -> topk.TopK:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(topk, "_NARROWEST_TILE", problem.narrowest)
        return topk_unembed(
            problem.hidden,
            problem.weight,
            problem.k,
            bias=problem.bias,
            tracked=tracked,
            budget_bytes=problem.budget_bytes,
        )


def naive_logits(problem: Problem) -> np.ndarray:
    logits = problem.hidden.double().numpy() @ problem.weight.double().numpy().T
    return logits if problem.bias is None else logits + problem.bias.double().numpy()


def dot_budget(problem: Problem) -> float:
    """What float32 may lose in a dot product of d terms and one addition: (d + 1) eps sum |h w|."""
    terms = problem.hidden.double().abs() @ problem.weight.double().abs().T
    if problem.bias is not None:
        terms = terms + problem.bias.abs()
    return (problem.hidden.shape[1] + 1) * torch.finfo(torch.float32).eps * terms.max().item()


@pytest.mark.long
@given(problems(integers=True))
def test_ties_go_to_the_lowest_id_in_every_tiling(problem: Problem) -> None:
    logits = naive_logits(problem)
    order = np.argsort(-logits, axis=1, kind="stable")[:, : problem.k]
    top = run(problem)
    assert np.array_equal(top.ids.numpy(), order)
    assert np.array_equal(top.logits.numpy(), np.take_along_axis(logits, order, axis=1))


@pytest.mark.long
@given(problems(integers=True), st.data())
def test_tracked_ranks_are_exact_with_ties(problem: Problem, data: st.DataObject) -> None:
    logits = naive_logits(problem)
    v = logits.shape[1]
    tracked = data.draw(st.lists(st.integers(0, v - 1), max_size=5))
    ranks = np.argsort(np.argsort(-logits, axis=1, kind="stable"), axis=1)
    top = run(problem, tracked)
    assert np.array_equal(top.tracked_rank.numpy(), ranks[:, tracked])
    assert np.array_equal(top.tracked_logits.numpy(), logits[:, tracked])


@pytest.mark.long
@given(problems(integers=False))
def test_values_against_float64(problem: Problem) -> None:
    logits = naive_logits(problem)
    top = run(problem)
    budget = dot_budget(problem)
    best = -np.sort(-logits, axis=1)[:, : problem.k]
    assert np.abs(top.logits.numpy() - best).max() <= budget
    own = np.take_along_axis(logits, top.ids.numpy(), axis=1)
    assert np.abs(top.logits.numpy() - own).max() <= budget
    assert all(len(set(row)) == problem.k for row in top.ids.tolist())

    m = logits.max(axis=1, keepdims=True)
    weights = np.exp(logits - m)
    logsumexp = (m + np.log(weights.sum(axis=1, keepdims=True)))[:, 0]
    p = weights / weights.sum(axis=1, keepdims=True)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(axis=1)
    # float32 sums of v positive numbers, and the rounding of the result itself
    rounding = 4e-7 * (1 + np.log(logits.shape[1])) + 1.2e-7 * np.abs(logsumexp)
    assert (np.abs(top.logsumexp.numpy() - logsumexp) <= budget + rounding).all()
    # dH = -sum p (log p + H) dl: at most the spread of log p times the error of a logit
    slack = budget * 2 * (2 + entropy) + 2e-6 * (1 + entropy)
    assert (np.abs(top.entropy.numpy() - entropy) <= slack).all()
    assert (top.entropy >= 0).all()


def test_entropy_does_not_cancel_at_large_logits() -> None:
    # two equal words 10^6 above zero: lse - E[l] in float32 would be off by 0.06
    weight = torch.tensor([[1e6], [1e6], [0.0]])
    top = topk_unembed(torch.ones(1, 1), weight, 1)
    assert top.entropy.item() == pytest.approx(np.log(2), abs=1e-7)
    assert top.ids.item() == 0


def test_uniform_distribution_over_many_words_and_tiles() -> None:
    top = topk_unembed(torch.zeros(3, 4), torch.randn(5003, 4), 2, budget_bytes=12 * 3 * 97)
    assert top.ids.tolist() == [[0, 1]] * 3
    assert torch.allclose(top.entropy, torch.tensor(5003.0).log(), atol=1e-6, rtol=0)
    assert torch.allclose(top.logsumexp, torch.tensor(5003.0).log(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_weights_are_multiplied_in_float32(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(9, 33, generator=generator).to(dtype)
    weight = torch.randn(211, 33, generator=generator).to(dtype)
    half = topk_unembed(hidden, weight, 7)
    single = topk_unembed(hidden.float(), weight.float(), 7)
    assert all(torch.equal(a, b) for a, b in zip(half[:4], single[:4], strict=True))


def test_scale_multiplies_columns() -> None:
    generator = torch.Generator().manual_seed(0)
    hidden, weight = torch.randn(5, 8, generator=generator), torch.randn(50, 8, generator=generator)
    scale = torch.rand(50, generator=generator)
    top = topk_unembed(hidden, weight, 3, scale=scale, budget_bytes=12 * 5 * 7)
    expected = (hidden.double() @ weight.double().T * scale).topk(3)
    assert torch.equal(top.ids, expected.indices)
    assert torch.allclose(top.logits.double(), expected.values, atol=1e-5, rtol=0)


def test_never_holds_all_logits() -> None:
    hidden, weight = torch.randn(64, 1), torch.randn(4000, 1)
    seen: list[int] = []

    class Watch(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            result = func(*args, **(kwargs or {}))
            if isinstance(result, torch.Tensor):
                seen.append(result.numel())
            return result

    budget = 12 * 64 * 100
    with Watch():
        topk_unembed(hidden, weight, 5, budget_bytes=budget)
    assert max(seen) <= 64 * 100


@pytest.mark.parametrize("k", [0, -1, 11])
def test_k_out_of_range(k: int) -> None:
    with pytest.raises(ConfigurationError, match="between 1 and the vocabulary's 10"):
        topk_unembed(torch.zeros(2, 3), torch.zeros(10, 3), k)


@pytest.mark.parametrize("token", [-1, 10])
def test_tracked_out_of_range(token: int) -> None:
    with pytest.raises(ConfigurationError, match="tracked"):
        topk_unembed(torch.zeros(2, 3), torch.zeros(10, 3), 1, tracked=[token])


def test_tracked_rank_and_top_k_never_contradict_each_other() -> None:
    generator = torch.Generator().manual_seed(1)
    hidden, weight = (
        torch.randn(40, 96, generator=generator),
        torch.randn(300, 96, generator=generator),
    )
    top = topk_unembed(hidden, weight, 10, tracked=range(300), budget_bytes=12 * 40 * 31)
    assert torch.equal(top.tracked_logits.gather(1, top.ids), top.logits)
    assert torch.equal(top.tracked_rank.gather(1, top.ids), torch.arange(10).expand(40, 10))
    assert ((top.tracked_rank < 10).sum(1) == 10).all()


def test_a_tracked_word_is_not_counted_before_itself() -> None:
    # its logit out of a product with one column and out of a wide tile may differ in the last bit
    generator = torch.Generator().manual_seed(2)
    hidden = torch.randn(64, 96, generator=generator)
    weight = torch.randn(300, 96, generator=generator)
    logits = hidden.double() @ weight.double().T
    budget = 97 * torch.finfo(torch.float32).eps * (hidden.abs() @ weight.abs().T).max().item()
    for token in (0, 7, 150, 299):
        others = torch.cat([logits[:, :token], logits[:, token + 1 :]], dim=1)
        own = logits[:, token : token + 1]
        rank = topk_unembed(hidden, weight, 1, tracked=[token]).tracked_rank[:, 0]
        assert ((others > own + budget).sum(1) <= rank).all()
        assert (rank <= (others > own - budget).sum(1)).all()
