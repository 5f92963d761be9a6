"""Average precision and its chance, against loops and all orders."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest

from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.evaluation.readability.measures import (
    ahead,
    average_precision,
    chance_of_average_precision,
    said_of_each,
    said_within,
)


def naive(scores: np.ndarray, positive: np.ndarray) -> float:
    """Without ties."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    hits, total = 0, 0.0
    for place, i in enumerate(order, start=1):
        if positive[i]:
            hits += 1
            total += hits / place
    return total / hits


def test_average_precision_equals_a_loop() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 30):
        scores = rng.normal(size=(4, n))
        positive = rng.random(n) < 0.4
        positive[0] = True
        expected = [naive(row, positive) for row in scores]
        assert average_precision(scores, positive) == pytest.approx(expected)


def test_equal_scores_rank_nothing() -> None:
    positive = np.array([True, False, False, True, False])
    assert average_precision(np.zeros((1, 5)), positive) == pytest.approx([0.4])
    # one group of three before one of two
    scores = np.array([[1.0, 1, 0, 0, 1]])
    assert average_precision(scores, positive) == pytest.approx([0.5 * 1 / 3 + 0.5 * 2 / 5])


@pytest.mark.parametrize(("positives", "n"), [(1, 1), (1, 4), (2, 5), (3, 6), (4, 4)])
def test_chance_is_the_mean_of_all_orders(positives: int, n: int) -> None:
    labels = [True] * positives + [False] * (n - positives)
    falling = -np.arange(n, dtype=float)[None]
    found = [average_precision(falling, np.array(order))[0] for order in permutations(labels)]
    assert chance_of_average_precision(positives, n) == pytest.approx(np.mean(found))


def test_words_within_the_first_k() -> None:
    top = np.array([[[4, 2, 7], [1, 3, 2]]])
    assert said_within(top, {2, 9}).tolist() == [[[False, True, True], [False, False, True]]]
    assert not said_within(top, frozenset()).any()
    assert ahead(np.array([1.0, 2, 3]), np.array([2.0, 2, 2])).tolist() == [0, 0.5, 1]


def test_a_ratio_has_the_interval_of_its_draws() -> None:
    rng = np.random.default_rng(0)
    n = 30
    asked = rng.integers(1, 20, n).astype(float)
    right, lucky = rng.binomial(asked.astype(int), 0.6), rng.binomial(asked.astype(int), 0.2)
    found = Bootstrap(n).ratio((right, asked), (lucky, asked))
    draws = []
    for _ in range(4000):
        own = rng.integers(0, n, n)
        draws.append(right[own].sum() / lucky[own].sum())
    assert found.value == pytest.approx(right.sum() / lucky.sum())
    assert (found.low, found.high) == pytest.approx(np.quantile(draws, [0.025, 0.975]), rel=0.06)
    assert np.isnan(Bootstrap(n).ratio((right, asked), (np.zeros(n), asked))).all()


def test_a_ratio_whose_draws_may_divide_by_nothing_has_no_upper_end() -> None:
    asked = np.ones(4)
    found = Bootstrap(4).ratio((asked, asked), (np.array([1.0, 0, 0, 0]), asked))
    assert found.value == 4 and 0 < found.low < 4 and found.high == np.inf
    never = Bootstrap(4).ratio((np.zeros(4), asked), (asked / 2, asked))
    assert never.value == never.low == 0
    assert never.high == pytest.approx(2 * Bootstrap(4).share(np.zeros(4), asked).high)


def test_each_patch_has_words_of_its_own() -> None:
    top = np.random.default_rng(0).integers(0, 6, (2, 40, 3))
    ids = 10 * [frozenset({1, 2}), frozenset[int](), frozenset({3}), frozenset({0, 1})]
    said = said_of_each(top, ids)
    for i, own in enumerate(ids):
        for state in range(2):
            hits = [bool({*top[state, i, :k].tolist()} & own) for k in (1, 2, 3)]
            assert said[state, i].tolist() == hits
    assert {*map(tuple, said.reshape(-1, 3).tolist())} == {
        (False, False, False), (False, False, True), (False, True, True), (True, True, True)
    }  # fmt: skip
