"""Intervals by drawing pictures again."""

from __future__ import annotations

import numpy as np
import pytest

from llavit_lens.evaluation.bootstrap import Bootstrap


def test_the_interval_has_the_width_of_theory() -> None:
    """One question for each picture: the share is a binomial one, sqrt(p (1 - p) / n) wide."""
    right = (np.arange(400) % 5 == 0).astype(int)
    found = Bootstrap(400).share(right, np.ones(400, dtype=int))
    assert found.value == pytest.approx(0.2)
    half = 1.96 * np.sqrt(0.2 * 0.8 / 400)
    assert found.value - found.low == pytest.approx(half, rel=0.1)
    assert found.high - found.value == pytest.approx(half, rel=0.1)


def test_what_stands_in_one_picture_is_not_counted_as_independent() -> None:
    """All patches of a picture alike: as wide as with one patch each."""
    right = (np.arange(100) % 2).astype(int)
    one = Bootstrap(100).share(right, np.ones(100, dtype=int))
    fifty = Bootstrap(100).share(50 * right, np.full(100, 50))
    assert fifty == pytest.approx(one)


def test_changes_are_paired() -> None:
    generator = np.random.default_rng(0)
    right, asked = generator.integers(0, 4, 50), np.full(50, 4)
    same = Bootstrap(50).change((right, asked), (right, asked))
    assert same == (0, 0, 0)
    worse = Bootstrap(50).change((right + 1, asked + 1), (right, asked + 1))
    assert worse.value < worse.high < 0


def test_nothing_is_certain_because_all_was_right() -> None:
    asked = np.ones(30, dtype=int)
    found = Bootstrap(30).share(asked, asked)
    assert found.value == found.high == 1.0
    # with this share, 30 pictures are all right in 2.5 % of cases
    assert found.low**30 == pytest.approx(0.025)
    assert Bootstrap(30).share(0 * asked, asked).high == pytest.approx(1 - found.low)


def test_nothing_asked_is_nothing_known() -> None:
    found = Bootstrap(3).share(np.zeros(3, dtype=int), np.zeros(3, dtype=int))
    assert np.isnan(found).all()


def test_a_mean_is_no_share() -> None:
    """A mean that happens to be 1 has the interval of its draws, not that of a proportion."""
    counts = np.full(30, 4)
    assert Bootstrap(30).mean(4.0 * np.ones(30), counts) == (1, 1, 1)
    sums = np.random.default_rng(0).normal(8, 2, 30)
    found = Bootstrap(30).mean(sums, counts)
    assert found.value == pytest.approx(sums.mean() / 4)
    half = 1.96 * sums.std() / 4 / np.sqrt(30)
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
