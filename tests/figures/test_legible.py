"""Model text on its way to the eye: nothing invisible, nothing interpreted, nothing lost."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llavit_lens.figures import legible
from llavit_lens.figures.legible import drawable, printable
from llavit_lens.figures.style import text_width


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("\n", r"\n"),
        ("\t\t", r"\t\t"),
        (" cat", "cat"),
        ("  cat", "␣cat"),
        ("cat ", "cat␣"),
        (" ", "␣"),
        ("", ""),
        ("\\n", r"\\n"),  # a backslash and an n are not a newline
        ("$x$", "$x$"),
        ("_DM", "_DM"),
        ("\u202eabc", r"\u202eabc"),  # would write what follows from right to left
        ("a\u2028b", r"a\u2028b"),
        ("\u00a0", r"\u00a0"),
        ("\ud800", r"\ud800"),  # half of a character
    ],
)
def test_what_is_shown(token: str, shown: str) -> None:
    assert printable(token) == shown
    assert drawable(token) == shown


def test_characters_that_no_font_has_are_escaped_in_figures_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(legible, "can_draw", lambda character: ord(character) < 0x3000)
    assert printable("\u6309\u94ae") == "\u6309\u94ae"
    assert drawable("\u6309\u94ae") == r"\u6309\u94ae"  # as in the paper's Figure 4
    assert drawable("\U00020000") == r"\U00020000"


@given(st.text(max_size=8))
def test_every_character_shown_can_be_seen(token: str) -> None:
    for character in drawable(token):
        assert character == " " or unicodedata.category(character)[0] not in "CZ"
    assert not drawable(token).startswith(" ") and not drawable(token).endswith(" ")


@given(st.text(max_size=6), st.text(max_size=6))
def test_different_tokens_look_different(a: str, b: str) -> None:
    # but for the one leading space of ordinary words
    if a.removeprefix(" ") != b.removeprefix(" ") and "␣" not in a + b:
        assert printable(a) != printable(b)


@pytest.mark.long
def test_no_missing_glyphs(recwarn: pytest.WarningsRecorder) -> None:
    for code in range(0x20, 0x3000):
        text_width(drawable(chr(code)))
    assert [w for w in recwarn if "Glyph" in str(w.message)] == []
