"""Model text made safe to look at.

A token can be anything: a newline, or a control character that would reorder the line. What a
person sees is always printable: anything else is escaped as in a Python string (the paper's
convention: `\\n`, `\\t\\t`, `\\u6309`).
"""

from __future__ import annotations

import unicodedata

OPEN_BOX = "␣"  # stands for a space that would otherwise be invisible
_SHORT = {"\n": r"\n", "\t": r"\t", "\r": r"\r", "\\": r"\\"}


def is_newline(text: str) -> bool:
    """Whether a token of this text is a newline or several, and white space at most."""
    return "\n" in text and not text.strip()


def printable(text: str) -> str:
    """`text` with control, format, unassigned and line-breaking characters escaped.

    Spaces at either end, and a word made of nothing but spaces, show as `␣`; a single leading
    space, which most vocabularies give to ordinary words, is dropped. For terminals: their fonts
    have most characters.
    """
    return _with_visible_spaces("".join(map(_escape_unprintable, text)))


def escaped(text: str) -> str:
    """`printable(text)` in printable ASCII, as in the paper's figures: every other character is
    escaped, and a space that shows is `\\u0020`."""
    return _with_visible_spaces(
        "".join(_escape_unprintable(c) if ord(c) < 0x80 else escape(c) for c in text),
        escape(" "),
    )


def _with_visible_spaces(text: str, space: str = OPEN_BOX) -> str:
    core = text.strip(" ")
    if not core:
        return space * len(text)
    before = len(text) - len(text.lstrip(" "))
    after = len(text) - len(text.rstrip(" "))
    return space * max(0, before - 1) + core + space * after


def _escape_unprintable(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    # C*: control, format, surrogate, private, unassigned. Z*: separators other than the space.
    unprintable = unicodedata.category(character)[0] in "CZ" and character != " "
    return escape(character) if unprintable else character


def escape(character: str) -> str:
    """The escape of a character, as Python writes it."""
    code = ord(character)
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
