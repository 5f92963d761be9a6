"""Whether all parts of `Words` fit together: before they are saved, and after they are loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

import numpy as np

from llavit_lens.results.check import (
    ROUNDING,
    check_array,
    check_layout,
    check_numbers,
    check_provenance,
    expect,
)
from llavit_lens.results.layered_words import Kind, LayeredWords, Tracked
from llavit_lens.results.leaders import Leaders, agreed, leading_ids
from llavit_lens.results.words import Words


def check_words(words: Words) -> None:
    """Look at every part of `words`, whatever type a damaged file gave it.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    check_layout(words.layout)
    check_layered(words, len(words.layout))


def check_layered(words: LayeredWords, n: int) -> None:
    """As `check_words`, without what says where the n tokens are."""
    lens = words.kind == "logit_lens"
    expect(words.kind in get_args(Kind), "no known kind of lens")
    check_numbers(words.layers, "layer")
    check_provenance(words.provenance)
    depth = words.provenance.get("n_layers")
    expect(
        depth is None or (type(depth) is int and max(words.layers) <= depth),
        "more layers than the model has",
    )
    shape = len(words.layers), n
    is_array = isinstance(words.ids, np.ndarray) and words.ids.ndim == 3
    expect(is_array and words.k > 0, "no words")
    check_array(words.ids, np.int64, (*shape, words.k), "ids")
    check_array(words.values, np.float32, (*shape, words.k), "values")
    expect(bool((np.diff(words.values, axis=2) <= 0).all()), "words that are not best first")
    highest = 0 if lens else 1
    expect(
        bool((words.values <= highest + ROUNDING).all()),
        f"values above {highest} or NaN",
    )
    expect(lens or bool((words.values >= -1 - ROUNDING).all()), "cosines below -1")
    for name in ("logsumexp", "entropy"):
        array = getattr(words, name)
        expect((array is not None) == lens, f"{name} {'missing' if lens else 'of cosines'}")
        if array is not None:
            check_array(array, np.float32, shape, name)
            expect(bool(np.isfinite(array).all()), f"{name} that is not finite")
    expect(words.entropy is None or bool((words.entropy >= -ROUNDING).all()), "negative entropy")
    if words.tracked is not None:
        _check_tracked(words.tracked, shape, words.strings)
    if words.leaders is not None:
        expect(lens, "leaders of cosines")
        _check_leaders(words.leaders, words.ids, words.values)
    _check_strings(words)


def _check_tracked(tracked: Tracked, shape: tuple[int, int], strings: Mapping[int, str]) -> None:
    count = len(tracked.words)
    check_array(tracked.ids, np.int64, (count,), "tracked ids")
    check_array(tracked.values, np.float32, (*shape, count), "tracked values")
    check_array(tracked.ranks, np.int64, (*shape, count), "tracked ranks")
    expect(bool((tracked.values <= ROUNDING).all()), "tracked values above 0 or NaN")
    expect(bool((tracked.ranks >= 0).all()), "negative ranks")
    expect(
        [strings.get(token) for token in tracked.ids.tolist()] == list(tracked.words),
        "tracked words that are not those of their ids",
    )


def _check_leaders(leaders: Leaders, ids: np.ndarray, values: np.ndarray) -> None:
    leading = leading_ids(ids[:, :, 0])
    check_array(leaders.ids, np.int64, leading.shape, "ids of leaders")
    check_array(leaders.values, np.float32, (len(ids), *leading.shape), "values of leaders")
    expect(np.array_equal(leaders.ids, leading), "leaders that are not the words that come first")
    expect(
        np.array_equal(agreed(leaders.values, leading, ids, values), leaders.values)
        and bool((leaders.values[:, leading >= 0] > -np.inf).all()),
        "values of leaders that are not those of the words, or above theirs",
    )


def _check_strings(words: LayeredWords) -> None:
    texts = words.strings
    expect(
        isinstance(texts, dict)
        and all(type(token) is int and token >= 0 for token in texts)
        and all(isinstance(text, str) for text in texts.values()),
        "no texts of words",
    )
    expect(bool(np.isin(words.ids, list(texts)).all()), "ids without a text")
