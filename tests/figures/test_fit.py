"""Words fit their boxes, whatever their length and however many patches there are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llavit_lens.figures.fit import LARGEST, SMALLEST, fit_words, shorten, shorten_start, wrap
from llavit_lens.figures.style import text_width

letters = st.characters(min_codepoint=0x21, max_codepoint=0x17E, exclude_categories=["C", "Z"])
words = st.text(letters, min_size=1, max_size=30)


@pytest.mark.long
@given(st.lists(words, min_size=1, max_size=20), st.floats(12, 120), st.floats(10, 60))
def test_no_word_leaves_its_box(texts: list[str], width: float, height: float) -> None:
    for text, fitted in zip(texts, fit_words(texts, [width] * len(texts), height), strict=True):
        assert SMALLEST <= fitted.size <= LARGEST
        # one ulp-sized slack: the size was got by dividing by the width
        assert fitted.text == "…" or text_width(fitted.text) * fitted.size <= width * (1 + 1e-9)
        assert fitted.text == text or fitted.text.endswith("…")


def test_ordinary_words_share_one_size_and_a_long_one_is_smaller() -> None:
    texts = ["dog", "grass", "sky", "sand", "bicycle", "internationalization"]
    *ordinary, long = fit_words(texts, [40.0] * 6, 40.0)
    assert len({f.size for f in ordinary}) == 1
    assert long.size < ordinary[0].size
    assert long.text.startswith("internat") and long.text.endswith("…")


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
