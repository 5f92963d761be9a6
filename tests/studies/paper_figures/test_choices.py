"""The rules that stand in for the authors' hand: which words, which patches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.legible import escaped
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Words
from llavit_lens.studies.paper_figures.model_words import ModelWords, check_cells
from llavit_lens.studies.paper_figures.patch_choice import patches_by_quarter, patches_by_truth
from llavit_lens.studies.paper_figures.word_choice import Vocabulary, choose_words

WORDS = (" dog", "dog", " Dog", " belly", " cat", " the", "7", " don't", " top-left", "按钮")
NO_WORDS = ("ibernate", "_DM", "\n", ",", " p", "\ufffd", "<|im_end|>", " -", "", "  ")
BPE = Vocabulary([*WORDS, *NO_WORDS, " 7"])
WHOLE_WORDS = Vocabulary(["dog", "sky", "\n", ".", "<|im_end|>", "7", "top-left", "a"])


def test_whole_words_of_a_vocabulary_with_spaces() -> None:
    assert [word for word in WORDS if not BPE.is_word(word)] == []
    assert [word for word in NO_WORDS if BPE.is_word(word)] == []


def test_whole_words_of_a_vocabulary_of_words() -> None:
    words = {token: WHOLE_WORDS.is_word(token) for token in ("dog", "7", "top-left", "\n", ".")}
    assert words == {"dog": True, "7": True, "top-left": True, "\n": False, ".": False}


@pytest.mark.parametrize(
    ("top", "shown"),
    [
        (["\n", " belly", " cat"], [1, 2]),  # the paper's third patch of Figure 4
        ([" dog", "\n", ","], [0, 1]),
        (["_DM", "ibernate", "\n"], [0, 1]),
        ([" dog", "dog", " cat"], [0, 2]),  # each word once
        ([" dog", " Dog", ","], [0, 1]),
    ],
)
def test_the_two_words_that_are_shown(top: list[str], shown: list[int]) -> None:
    assert choose_words(top, BPE, 2) == shown


TOKENS = st.sampled_from([" dog", "dog", " cat", " the", "\n", ",", "_DM", "ibernate", "按钮"])


@given(st.lists(TOKENS, min_size=1, max_size=6), st.integers(1, 6))
def test_words_are_chosen_in_order_of_rank_whole_ones_first(top: list[str], count: int) -> None:
    chosen = choose_words(top, BPE, count)
    assert len(chosen) == len(set(chosen)) == min(count, len(top))
    different = {t.strip() for t in top if BPE.is_word(t)}
    whole = chosen[: min(count, len(different))]
    assert all(BPE.is_word(top[i]) for i in whole) and whole == sorted(whole)
    assert len({top[i].strip() for i in whole}) == len(whole)
    rest = chosen[len(whole) :]
    assert rest == sorted(rest)
    if count <= len(different):  # no junk while there is a word
        assert not rest


@given(st.text(max_size=8))
def test_escapes_are_printable_ascii(text: str) -> None:
    shown = escaped(text)
    assert all(" " <= c <= "~" for c in shown)
    # and say which characters they are, but for the one leading space of ordinary words
    said = shown.encode("ascii").decode("unicode_escape")
    assert said == (text.removeprefix(" ") if text.strip(" ") else text)


def test_escapes_are_those_of_the_paper() -> None:
    assert escaped("按钮") == r"\u6309\u94ae" and escaped("ộc") == r"\u1ed9c"
    assert (
        escaped("\t\t") == r"\t\t" and escaped(" _DM") == "_DM" and escaped("🐕") == r"\U0001f415"
    )


OWNERS = st.integers(1, 7).flatmap(
    lambda n: st.lists(st.lists(st.integers(-3, 3), min_size=n, max_size=n), min_size=1, max_size=7)
)
MIDDLES = [(1.0, 1.0), (2.5, 4.0), (6.0, 0.5), (3.0, 3.0)]


@given(OWNERS, st.integers(1, 6))
def test_patches_by_truth(cells: list[list[int]], count: int) -> None:
    owner = np.array(cells)
    chosen = patches_by_truth(owner, MIDDLES, {-3}, count)
    shown = [int(owner[row, col]) for row, col, tile in chosen if tile == 0]
    assert len(shown) == len(set(shown)) == len(chosen) <= count
    present = set(owner.ravel().tolist()) - {-3}
    things, grounds = {n for n in present if n >= 0}, {n for n in present if n < 0}
    assert set(shown) <= present and len(shown) == min(count, len(present))
    assert not grounds or grounds & set(shown)
    left_out = things - set(shown)
    for number, (row, col, _) in zip(shown, chosen, strict=True):
        if number < 0:
            continue
        assert all((owner == number).sum() >= (owner == other).sum() for other in left_out)
        y, x = MIDDLES[number]
        distance = [
            (r + 0.5 - y) ** 2 + (c + 0.5 - x) ** 2 for r, c in np.argwhere(owner == number)
        ]
        assert (row + 0.5 - y) ** 2 + (col + 0.5 - x) ** 2 == pytest.approx(min(distance))


def test_the_background_is_shown_far_from_all_else() -> None:
    owner = np.full((7, 7), -1)
    owner[0, :] = 0
    assert patches_by_truth(owner, [(0.5, 3.5)], set(), 4) == [(0, 3, 0), (3, 2, 0)]


def layout_of(rows: int, cols: int, left: float = 0.0) -> VisualLayout:
    """A grid over a picture of 100 x 80 pixels; what is left of `left` is padding."""
    row, col = (axis.ravel() for axis in np.indices((rows, cols)))
    x, y = 100 / cols, 80 / rows
    boxes = np.stack([col * x, row * y, (col + 1) * x, (row + 1) * y], axis=1)
    boxes[:, [0, 2]] = boxes[:, [0, 2]].clip(left, 100)
    tile = np.zeros(rows * cols, dtype=int)
    return VisualLayout(np.arange(len(row)), tile, row, col, ((rows, cols),), (100, 80), boxes)


def test_patches_by_quarter() -> None:
    assert patches_by_quarter(layout_of(4, 8)) == [(0, 1, 0), (0, 5, 0), (2, 1, 0), (2, 5, 0)]
    assert patches_by_quarter(layout_of(1, 1)) == [(0, 0, 0)]
    seen = patches_by_quarter(layout_of(4, 8, left=50))  # of what is no padding
    assert [col for _, col, _ in seen] == [4, 6, 4, 6]


@given(st.integers(1, 9), st.integers(1, 9))
def test_patches_by_quarter_are_different_patches(rows: int, cols: int) -> None:
    places = patches_by_quarter(layout_of(rows, cols))
    assert len(set(places)) == len(places) == min(2, rows) * min(2, cols)


def test_patches_that_are_not_on_the_picture_or_not_the_same(
    make_words: Callable[..., Words],
) -> None:
    def read(name: str, **options: Any) -> ModelWords:
        return ModelWords(name, (make_words(**options),), BPE)

    padded, whole = read("padded"), read("whole")
    check_cells([(0, 0, 0), (0, 3, 0)], [whole, padded], "dog.png")
    padded.layout.boxes[3] = [64, 0, 64, 16]
    with pytest.raises(
        ConfigurationError, match=r"dog.png: .* row 0, column 3 lies in the padding"
    ):
        check_cells([(0, 3, 0)], [padded], "dog.png")
    with pytest.raises(ConfigurationError, match="padded sees other parts of the image than whole"):
        check_cells([(0, 3, 0)], [whole, padded], "dog.png")
    with pytest.raises(ConfigurationError, match="small sees 2 x 2 patches and whole 4 x 4"):
        check_cells([(0, 0, 0)], [whole, read("small", grid=(2, 2))], "dog.png")
