"""Words fit their boxes, whatever their length and however many patches there are."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llavit_lens.figures.fit import LARGEST, LINE, READABLE, fit_words, shorten, shorten_start, wrap
from llavit_lens.figures.style import text_width

letters = st.characters(min_codepoint=0x21, max_codepoint=0x17E, exclude_categories=["C", "Z"])
words = st.text(letters, min_size=1, max_size=30)


@pytest.mark.long
@given(st.lists(words, min_size=1, max_size=20), st.floats(3, 120), st.floats(3, 60))
def test_no_word_leaves_its_box_and_none_is_too_small(
    texts: list[str], width: float, height: float
) -> None:
    boxes = [width] * len(texts), [height] * len(texts)
    for text, fitted in zip(texts, fit_words(texts, *boxes), strict=True):
        if fitted is None:  # even a few letters of the smallest size have no room
            room = min(width / text_width(text[:3] + "…"), height / LINE)
            assert room < READABLE
            continue
        lines = fitted.text.split("\n")
        assert READABLE <= fitted.size <= LARGEST and len(lines) <= 2
        # one ulp-sized slack: the size was got by dividing by the width
        assert max(map(text_width, lines)) * fitted.size <= width * (1 + 1e-9)
        assert len(lines) * LINE * fitted.size <= height * (1 + 1e-9)
        whole = "".join(lines)
        assert whole.endswith("…") or whole.replace("-", "") == text.replace("-", "").replace(
            " ", ""
        )


def fit(text: str, width: float, height: float = 40.0) -> str | None:
    (fitted,) = fit_words([text], [width], [height])
    return fitted and fitted.text


def test_a_word_is_broken_before_it_is_cut_and_cut_before_it_is_left_out() -> None:
    assert fit("umbrella", 60) == "umbrella"
    assert fit("umbrella", 22) == "umbr-\nella"
    assert fit("bottom-left", 30) == "bottom-\nleft"
    assert fit("fetchData", 22) == "fetch\nData"
    assert fit(r"\u6309\u94ae", 24) == "\\u6309\n\\u94ae"
    short = fit("umbrella", 18, 8)
    assert short is not None and short.startswith("umb") and short.endswith("…")
    assert fit("umbrella", 6) is None and fit("umbrella", 60, 5) is None
    assert fit_words([], [], []) == []


def test_ordinary_words_are_much_the_same_size_whatever_their_room() -> None:
    texts = ["grass"] * 8 + ["sky"]
    *ordinary, sky = fit_words(texts, [22.0] * 8 + [400.0], [40.0] * 9)
    assert ordinary[0] is not None and sky is not None
    assert len(set(ordinary)) == 1 and ordinary[0].size < sky.size <= 1.5 * ordinary[0].size


@pytest.mark.long
@given(words, st.floats(1.5, 20))
def test_a_cut_is_as_long_as_it_can_be(text: str, width: float) -> None:
    short = shorten(text, width)
    assert text_width(short) <= width
    if short != text:
        longer = text[: len(short)] + "…"  # one more letter of the text
        assert text_width(longer) > width or len(short) == len(text)


@given(st.lists(words, max_size=12))
def test_wrapping_loses_nothing_and_no_line_is_too_long(texts: list[str]) -> None:
    lines = wrap(" ".join(texts), 100.0, 10.0).split("\n")
    assert "".join(lines).replace(" ", "") == "".join(texts)
    assert all(text_width(line) * 10 <= 100 for line in lines)


@given(words)
def test_words_that_fit_a_line_are_not_broken(text: str) -> None:
    width = 10 * text_width(text) * (1 + 1e-9)
    assert wrap(f"{text} {text}", width, 10.0).split("\n") == [text, text]


def test_a_path_is_cut_at_its_start() -> None:
    path = "/data/runs/first/checkpoint-100"
    short = shorten_start(path, 10.0)
    assert path.endswith(short.removeprefix("…")) and 9 < text_width(short) <= 10
    assert shorten_start(path, 100.0) == path and shorten_start(path, 0.1) == "…"


@pytest.mark.parametrize("text", [r"\U0001f642", r"a\U0001f642", r"\u6309\u94ae\u6309"])
def test_an_escape_is_whole(text: str) -> None:
    for width in range(5, 60, 3):
        for piece in (fit(text, width) or "").replace("…", "").split("\n"):
            assert re.fullmatch(r"a?(\\u[0-9a-f]{4}|\\U[0-9a-f]{8})*", piece), (width, piece)
