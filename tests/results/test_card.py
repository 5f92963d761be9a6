"""What a notebook shows of a result: one line, its figure or a table, and never an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from made_words import MakeWords
from PIL import Image

from llavit_lens.figures.page import Page
from llavit_lens.results import plotting
from llavit_lens.results.attention_patterns import AttentionPatterns, QueryToken
from llavit_lens.results.comparison import compare
from llavit_lens.results.readability import Readability
from llavit_lens.results.restore_map import Place, RestoreMap
from llavit_lens.results.result import Result
from llavit_lens.results.words import Tracked, Word

HOSTILE = "<b>&m</b>"
PROVENANCE = {"model": HOSTILE, "n_layers": 6}
IMAGE = Image.new("RGB", (64, 64), "gray")


def made_patterns(make_words: MakeWords) -> AttentionPatterns:
    layout = make_words().layout
    query = QueryToken("last", 20, "last token", HOSTILE, -1)
    weights = np.full((2, 2, 1, 16), 0.05, np.float32)
    share = np.full((2, 2, 1), 0.8, np.float32)
    return AttentionPatterns(
        [0, 1], [0, 1], [query], weights, share, layout, 6, 21, IMAGE, HOSTILE, "?", PROVENANCE
    )


def made_map(make_words: MakeWords) -> RestoreMap:
    layout = make_words().layout
    patches = [Place("patch", f"row {i // 4}, column {i % 4}", np.array([i]), i) for i in range(16)]
    places = [*patches, Place("text", HOSTILE, np.array([17]), -1)]
    restored = np.linspace(-9, -1, 2 * len(places)).reshape(2, -1)
    return RestoreMap(
        point="resid_pre", layers=[0, 5], n_layers=6, places=places, window=0, clean=-1.0,
        corrupted=-9.0, restored=restored, layout=layout, question="?", answer=HOSTILE,
        last_token=20, model=HOSTILE, clean_image=IMAGE, corrupted_image=IMAGE,
        provenance=PROVENANCE,
    )  # fmt: skip


def made_readability(_: MakeWords) -> Readability:
    rows = [
        {"model": HOSTILE, "measure": "hit", "layer": layer, "k": 1, "value": 0.5, "low": 0.4,
         "high": 0.6, "chance": 0.1, "n": 9}
        for layer in range(3)
    ]  # fmt: skip
    table = pd.DataFrame(rows).astype({"layer": "Int64", "k": "Int64"})
    return Readability(table, 3, [], [], [], PROVENANCE)


MAKERS: dict[str, Callable[[MakeWords], Result]] = {
    "Words": lambda make: replace(make([HOSTILE, "sky"]), provenance=PROVENANCE),
    "AttentionPatterns": made_patterns,
    "RestoreMap": made_map,
    "Readability": made_readability,
}


@pytest.fixture(params=MAKERS)
def result(request: pytest.FixtureRequest, make_words: MakeWords) -> Result:
    return MAKERS[request.param](make_words)


def without_images(result: Any) -> Result:
    """As `load` gives it back."""
    return replace(result, **dict.fromkeys(result._images))


def test_all_results_are_tried() -> None:
    # below, in tests/figures/test_contact_sheet.py and in tests/lens/test_token_words.py
    elsewhere = {"Comparison", "Hits", "TokenWords"}
    assert {*MAKERS, *elsewhere} == set(plotting.FIGURES)


def test_a_comparison_is_shown_by_its_figure(make_words: MakeWords) -> None:
    words = MAKERS["Words"](make_words)
    both = compare(words, words)
    html = both._repr_html_()
    assert html.count("<img") == 1 and "There is no figure" not in html
    assert HOSTILE not in html and "&lt;b&gt;" in html
    without = replace(both, words=tuple(without_images(each) for each in both.words))
    assert "<img" not in without._repr_html_() and "<table" in without._repr_html_()


def test_a_result_is_shown_by_its_figure(result: Result) -> None:
    html = result._repr_html_()
    assert html.count("<img") == 1 and "<script" not in html and len(html) < 400_000
    assert "There is no figure" not in html
    assert HOSTILE not in html and "&lt;b&gt;" in html


def test_what_a_figure_does_not_draw_of_itself_is_said_below_it(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Page(3).finish(2)
    figure.title, figure.caption = "<what>", "<how>"
    module, function = plotting.FIGURES[type(result).__name__].split(":")
    monkeypatch.setattr(f"{module}.{function}", lambda *_, **__: figure)
    html = result._repr_html_()
    assert 'alt="&lt;what&gt;"' in html and html.index("&lt;how&gt;") > html.index("<img")


def test_one_line_names_a_result(result: Result) -> None:
    line = repr(result)
    assert "\n" not in line and len(line) < 200 and line.startswith(type(result).__name__)


def test_a_loaded_result_is_shown_by_a_table(result: Result) -> None:
    html = without_images(result)._repr_html_()
    if result._images:
        assert "<img" not in html and "<table" in html and "give them to plot" in html
    assert HOSTILE not in html and len(html) < 400_000


def test_a_figure_that_fails_leaves_a_table(
    result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no <font>\nat all")

    module, function = plotting.FIGURES[type(result).__name__].split(":")
    monkeypatch.setattr(f"{module}.{function}", fail)
    html = result._repr_html_()
    assert "There is no figure: no &lt;font&gt; at all" in html and "<table" in html


def test_what_is_proposed_can_be_typed(result: Any) -> None:
    """The lines in the card run as they stand, on this very result."""
    name = {"Words": "words", "AttentionPatterns": "patterns", "RestoreMap": "restored"}
    names = {name.get(type(result).__name__, "result"): result, "other": result}
    proposed = result._next()
    assert len(proposed) >= 2
    for line in proposed:
        if "savefig" not in line:
            assert eval(line, names) is not None


def test_words_are_shown_where_the_model_is_surest(make_words: MakeWords) -> None:
    words = make_words()
    words.entropy = np.full((3, 16), [[3.0], [1.0], [2.0]], np.float32)
    assert "Layer 3 of 6" in words._repr_html_()
    words.layout.boxes[1:] = 0  # padding does not count
    words.entropy[2, 0] = 0.5
    assert "Layer 6 of 6" in words._repr_html_()


def test_a_layer_is_named_only_where_it_is_drawn(make_words: MakeWords) -> None:
    words = make_words()
    words.entropy = np.ones((3, 16), np.float32)
    assert "where the model is surest" in words._repr_html_()
    words.image = None
    assert "where the model is surest" not in words._repr_html_()


def test_words_without_a_depth_or_a_whole_image_are_shown(make_words: MakeWords) -> None:
    assert "<img" in make_words(depth=None)._repr_html_()
    words = make_words()
    words.layout.tile[:] = 1
    object.__setattr__(words.layout, "grid", ((4, 4), (4, 4)))
    assert "words.at" not in words._repr_html_() and "words.plot" in words._repr_html_()


def test_parts_of_results_are_one_short_line() -> None:
    assert repr(Word("robot", 7, float(np.log(0.8123456)), 0.8123456)) == "Word('robot', 0.812)"
    assert repr([Word(" a\n", 7, 0.081234, None)]) == "[Word(' a\\n', cosine 0.0812)]"
    assert repr(Place("text", "a", np.arange(3000), -1)) == "Place(text 'a', 3000 tokens)"
    followed = Tracked(["dog"], np.array([1]), np.zeros((7, 64, 1)), np.zeros((7, 64, 1)))
    assert repr(followed) == "Tracked(['dog'], 7 layers x 64 visual tokens)"
    assert not re.search("array", repr(followed))
