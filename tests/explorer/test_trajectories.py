"""The pinned patch's words through the layers."""

from __future__ import annotations

import numpy as np
import pytest

from llavit_lens.explorer import trajectories
from llavit_lens.explorer.lens_cache import LensResult
from llavit_lens.explorer.trajectories import FEW, FLOOR, tracked_words, trajectory_figure
from llavit_lens.lens.search import search
from llavit_lens.results.words import surest_layer
from llavit_lens.viewer.start import telling_patch


def test_every_word_that_comes_first_somewhere_is_tracked(
    results: tuple[LensResult, LensResult],
) -> None:
    for patch in range(len(results[0].words.layout)):
        ids = tracked_words(results[0], patch)
        assert set(results[0].words.ids[:, patch, 0].tolist()) <= set(ids)
        assert len(ids) == len(set(ids)) >= FEW


def test_of_too_many_the_likeliest_stay(
    results: tuple[LensResult, LensResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = results[0].words
    monkeypatch.setattr(trajectories, "MOST_TRACKED", 1)
    monkeypatch.setattr(trajectories, "FEW", 0)
    layer = int(words.values[:, 3, 0].argmax())
    assert tracked_words(results[0], 3) == [int(words.ids[layer, 3, 0])]


def test_lines_are_the_lens(results: tuple[LensResult, LensResult]) -> None:
    result, patch = results[0], 2
    figure = trajectory_figure(result, patch, 1, search("dog", result.trace, result.words))
    ids = tracked_words(result, patch)
    assert len(figure.data) == len(ids) + 1
    words = result.words
    for line, token in zip(figure.data, ids, strict=False):
        for layer, shown in enumerate(line.customdata):
            place = np.flatnonzero(words.ids[layer, patch] == token)
            if len(place):
                assert shown == pytest.approx(
                    np.exp(words.values[layer, patch, place[0]]), rel=1e-4
                )
        assert min(line.y) >= FLOOR


def test_words_are_no_markup_in_plotly(
    results: tuple[LensResult, LensResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        trajectories, "string_of", lambda table, token: "<a href='javascript:alert(1)'>x</a>"
    )
    figure = trajectory_figure(results[0], 0, None)
    assert all("<" not in line.name for line in figure.data)
    assert figure.data[0].name.startswith("&lt;a")


def test_the_view_opens_where_there_is_something_to_see(
    results: tuple[LensResult, LensResult],
) -> None:
    result = results[0]
    layer = surest_layer(result.words)
    entropy = result.words.entropy.mean(axis=1)
    assert entropy[layer] == entropy.min()
    patch = telling_patch(result.words, layer)
    assert 0 <= patch < len(result.words.layout)
    difference = np.zeros(len(result.words.layout))
    difference[7] = 0.5
    assert telling_patch(result.words, layer, difference) == 7


def test_words_that_come_first_have_thick_lines(results: tuple[LensResult, LensResult]) -> None:
    for patch in range(len(results[0].words.layout)):
        ids = tracked_words(results[0], patch)
        firsts = set(results[0].words.ids[:, patch, 0].tolist())
        widths = [line.line.width for line in trajectory_figure(results[0], patch, None).data]
        assert [width > 2 for width in widths] == [token in firsts for token in ids]
