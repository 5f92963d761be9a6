"""Text of models and users stays text where Streamlit reads Markdown."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from llavit_lens.explorer.wording import JOINER, escape_markdown

ACTIVE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "![](https://example.com/pixel.png)",
    "[click](javascript:alert(1))",
    "https://example.com",
    "**bold** _it_ `code` ~~no~~",
    "# head",
    "- item",
    "1. item",
    "> quote",
    "| a | b |\n|---|---|\n| c | d |",
    "&lt;b&gt;",
    "www.example.com",
    "name@example.com",
    ":material/face: :smile:",
    "a -> b -- c",
    "a\\*b",
]


def shown(markdown: str) -> str:
    """The one paragraph of text that CommonMark, with links and tables, makes of it."""
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(markdown)
    kinds = [t.type for t in tokens]
    assert kinds in (["paragraph_open", "inline", "paragraph_close"], []), kinds
    if not tokens:
        return ""
    parts = tokens[1].children
    assert {p.type for p in parts} <= {"text", "text_special"}, [p.type for p in parts]
    return "".join(p.content for p in parts).replace(JOINER, "")


@pytest.mark.parametrize("text", ACTIVE)
def test_nothing_becomes_markup(text: str) -> None:
    assert shown(escape_markdown(text)) == " ".join(text.split())


@given(st.text().map(lambda text: text.replace(JOINER, "")))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    assert shown(escape_markdown(text)) == " ".join(text.split()).replace("\0", "\ufffd")


@given(st.text("abc:$[]{}red-_ "))
def test_streamlits_own_directives_are_escaped(text: str) -> None:
    """`:red[…]`, `:material/…:`, `:smile:` and `$…$` are not CommonMark: no bare sign is left."""
    assert not re.search(r"(?<!\\)(\\\\)*[:$]", escape_markdown(text))
