"""The pinned patch's words through the layers."""

import numpy as np
import pytest

from llavit_lens.explorer import trajectories
from llavit_lens.explorer.opening import opening_layer, opening_patch
from llavit_lens.explorer.trajectories import FEW, FLOOR, tracked_words, trajectory_figure
from llavit_lens.lens.search import search


def test_every_word_that_comes_first_somewhere_is_tracked(readings):
    for patch in range(len(readings[0].words.layout)):
        ids = tracked_words(readings[0], patch)
        assert set(readings[0].words.ids[:, patch, 0].tolist()) <= set(ids)
        assert len(ids) == len(set(ids)) >= FEW


def test_of_too_many_the_likeliest_stay(readings, monkeypatch):
    words = readings[0].words
    monkeypatch.setattr(trajectories, "MOST_TRACKED", 1)
    monkeypatch.setattr(trajectories, "FEW", 0)
    layer = int(words.values[:, 3, 0].argmax())
    assert tracked_words(readings[0], 3) == [int(words.ids[layer, 3, 0])]


def test_lines_are_the_lens(readings):
    reading, patch = readings[0], 2
    figure = trajectory_figure(reading, patch, 1, search("dog", reading.trace, reading.words))
    ids = tracked_words(reading, patch)
    assert len(figure.data) == len(ids) + 1
    words = reading.words
    for line, token in zip(figure.data, ids, strict=False):
        for layer, shown in enumerate(line.customdata):
            place = np.flatnonzero(words.ids[layer, patch] == token)
            if len(place):
                assert shown == pytest.approx(
                    np.exp(words.values[layer, patch, place[0]]), rel=1e-4
                )
        assert min(line.y) >= FLOOR


def test_words_are_no_markup_in_plotly(readings, monkeypatch):
    monkeypatch.setattr(
        trajectories, "string_of", lambda table, token: "<a href='javascript:alert(1)'>x</a>"
    )
    figure = trajectory_figure(readings[0], 0, None)
    assert all("<" not in line.name for line in figure.data)
    assert figure.data[0].name.startswith("&lt;a")


def test_the_view_opens_where_there_is_something_to_see(readings):
    reading = readings[0]
    layer = opening_layer(reading)
    entropy = reading.words.entropy.mean(axis=1)
    assert entropy[layer] == entropy.min()
    patch = opening_patch(reading, layer)
    assert 0 <= patch < len(reading.words.layout)
    difference = np.zeros(len(reading.words.layout))
    difference[7] = 0.5
    assert opening_patch(reading, layer, difference) == 7
