"""The words that came first at some layer, through all layers: looked up, checked, saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.leaders import Leaders
from llavit_lens.results.token_words import TokenWords
from llavit_lens.results.words import Tracked, Words

FORMER = Path(__file__).parents[1] / "data" / "former_formats"
"""Files that earlier versions wrote, of `FIELDS` and what `WORDS` and `TOKEN_WORDS` add."""

IDS = np.array([[[0, 1], [1, 2]], [[2, 0], [1, 0]]])
VALUES = np.array([[[-0.5, -1.5], [-0.25, -2]], [[-0.125, -3], [-1, -1.25]]], np.float32)
ONES = np.array([[1, 2], [3, 4]], np.float32)
FIELDS: dict[str, Any] = {
    "kind": "logit_lens",
    "layers": [0, 2],
    "ids": IDS,
    "values": VALUES,
    "logsumexp": ONES,
    "entropy": ONES / 8,
    "strings": {0: "kite", 1: " moon", 2: "\n"},
    "provenance": {"model": "m", "n_layers": 2},
    "tracked": Tracked(
        words=["\n"],
        ids=np.array([2]),
        values=-ONES[:, :, None],
        ranks=np.array([[[3], [1]], [[0], [9]]]),
    ),
}
LAYOUT = VisualLayout(
    positions=np.array([4, 5]),
    tile=np.array([0, 0]),
    row=np.array([0, 0]),
    col=np.array([0, 1]),
    grid=((1, 2),),
    image_size=(8, 4),
    boxes=np.array([[0.0, 0, 4, 4], [4, 0, 8, 4]]),
)
LEADERS = Leaders(
    np.array([[0, 2], [1, -1]]),
    np.array([[[-0.5, -7], [-0.25, -np.inf]], [[-3, -0.125], [-1, -np.inf]]], np.float32),
)
"""At layer 0 of the first patch, id 2 is not among the two best: its value is its own."""

WORDS = Words(**FIELDS, layout=LAYOUT, leaders=LEADERS)
TOKEN_WORDS = TokenWords(
    **FIELDS,
    positions=np.array([1, 6]),
    tokens=["What", " is"],
    prompt_length=7,
    leaders=LEADERS,
)


def test_a_trajectory_is_a_tidy_table() -> None:
    table = WORDS.trajectory(0, 0)
    assert table.drop(columns="probability").values.tolist() == [
        [0, "kite", 0, -0.5, True],
        [0, "\n", 2, -7.0, False],
        [2, "kite", 0, -3.0, False],
        [2, "\n", 2, -0.125, True],
    ]
    assert [*table] == ["layer", "word", "id", "probability", "log_probability", "is_top"]
    assert table.probability.values == pytest.approx(np.exp([-0.5, -7, -3, -0.125]), rel=1e-6)
    assert WORDS.trajectory(0, 1).log_probability.tolist() == [-0.25, -1.0]
    assert TOKEN_WORDS.trajectory(1).equals(table)
    assert TOKEN_WORDS.trajectory("is").equals(WORDS.trajectory(0, 1))
    assert TOKEN_WORDS.trajectory(-1).equals(TOKEN_WORDS.trajectory(6))


@pytest.mark.parametrize("vlm", [tiny_vlm("llavit"), tiled_vlm("spatial")], ids=["one", "tiles"])
def test_a_trajectory_says_what_the_words_say(vlm: ll.VLM) -> None:
    words = ll.logit_lens(vlm.trace(tiny_image()), k=3)
    for tile in range(len(words.layout.grid)):
        table = words.trajectory(1, 0, tile)
        assert table[table.is_top].word.tolist() == [
            words.at(layer, 1, 0, tile)[0].word for layer in words.layers
        ]
        by_id = table.set_index(["layer", "id"])
        for layer in words.layers:
            for word in words.at(layer, 1, 0, tile):
                if (layer, word.id) in by_id.index:
                    row = by_id.loc[(layer, word.id)]
                    assert (row.word, row.log_probability) == (word.word, np.float32(word.value))
                    assert row.probability == pytest.approx(word.probability, rel=1e-6)
    with pytest.raises(ConfigurationError):
        words.trajectory(99, 0)


def test_words_without_trajectories_say_so() -> None:
    for words in (replace(WORDS, leaders=None), replace(TOKEN_WORDS, leaders=None)):
        with pytest.raises(ConfigurationError, match=r"leaders=False, .* an earlier version; read"):
            words.trajectory(*([0, 0] if isinstance(words, Words) else [1]))
    cosines = ll.input_similarity(tiny_vlm("llavit").trace(tiny_image()))
    with pytest.raises(ConfigurationError, match="reads one layer, so there is nothing to follow"):
        cosines.trajectory(0, 0)


@pytest.mark.parametrize("words", [WORDS, TOKEN_WORDS], ids=["Words", "TokenWords"])
def test_saved_leaders_come_back(words: Words | TokenWords) -> None:
    loaded = type(words).load(words.to_bytes())
    assert loaded == words
    assert isinstance(loaded.leaders, Leaders)
    without = replace(words, leaders=None)
    assert type(words).load(without.to_bytes()) == without != words


@pytest.mark.parametrize("words", [WORDS, TOKEN_WORDS], ids=["Words", "TokenWords"])
def test_files_of_earlier_versions_are_read_without_trajectories(words: Words | TokenWords) -> None:
    name = "words-2.parquet" if isinstance(words, Words) else "token-words-1.parquet"
    former = type(words).load(FORMER / name)
    assert former == replace(words, leaders=None)
    with pytest.raises(ConfigurationError, match="an earlier version"):
        former._trajectory(0)
    assert type(words).load(former.to_bytes()) == former  # saved again, it is of now


def changed(place: tuple[int, int, int], value: float) -> Leaders:
    values = LEADERS.values.copy()
    values[place] = value
    return LEADERS._replace(values=values)


WRONG: dict[str, Callable[[], Leaders]] = {
    "another value of a kept word": lambda: changed((1, 0, 1), -0.25),
    "above the words that come before": lambda: changed((0, 0, 1), -1.0),
    "NaN": lambda: changed((0, 0, 1), np.nan),
    "no probability": lambda: changed((0, 0, 1), -np.inf),
    "a value where there is no word": lambda: changed((0, 1, 1), -9.0),
    "doubles": lambda: LEADERS._replace(values=LEADERS.values.astype(np.float64)),
    "one layer": lambda: LEADERS._replace(values=LEADERS.values[:1]),
    "layers the other way round": lambda: LEADERS._replace(values=LEADERS.values[::-1]),
    "patches the other way round": lambda: LEADERS._replace(ids=LEADERS.ids[::-1]),
    "other words": lambda: LEADERS._replace(ids=np.array([[0, 1], [1, -1]])),
    "words in another order": lambda: LEADERS._replace(ids=np.array([[2, 0], [1, -1]])),
    "a word less": lambda: Leaders(LEADERS.ids[:, :1], LEADERS.values[:, :, :1]),
}


@pytest.mark.parametrize("fault", WRONG)
def test_leaders_that_do_not_fit_are_not_saved(fault: str) -> None:
    with pytest.raises(ConfigurationError, match=r"do not fit together: .*leaders"):
        replace(WORDS, leaders=WRONG[fault]()).to_bytes()


def test_cosines_have_no_leaders() -> None:
    lens = replace(WORDS, logsumexp=None, entropy=None, tracked=None)
    cosines = replace(lens, kind="input_similarity", values=VALUES / 4)
    with pytest.raises(ConfigurationError, match="leaders of cosines"):
        cosines.to_bytes()
