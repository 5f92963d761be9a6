"""Words into boxes: one font size for most, long words smaller or in two lines, … at the last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from llavit_lens.figures.fonts import text_width

LARGEST, READABLE = 11.0, 5.0  # points; smaller than that nobody reads it on the page
LINE = 1.2  # height of a line, for each point of font size
_EASY = 6.0  # points; words as large are not broken to be larger still
_BROKEN = 1.25  # how much larger a word must become by being broken
_TOO_LONG = 5  # one word in so many may be too long for the common size
_LARGER = 1.5  # how much larger a word may be where it has room, as on a region of many patches
_TWO_LINES = 6  # letters of a word that is broken with a hyphen
_SHORTEST = 3  # letters of a word that is cut
_CUT_ESCAPE = re.compile(r"\\(u[0-9a-f]{0,3}|U[0-9a-f]{0,7})?…$")


class Fitted(NamedTuple):
    """A word as it is drawn: one line or two, perhaps cut, and the font size in points."""

    text: str
    size: float


def fit_words(
    texts: Sequence[str], widths: Sequence[float], heights: Sequence[float]
) -> list[Fitted | None]:
    """Fit each text into a box of its width and height, in points; None: nobody could read it.

    A grid with one font size reads as a table, so most words share a size: one that fits four out
    of five. A longer word is smaller, or in two lines, and cut only where it would be smaller than
    `READABLE` in two.
    """
    if not texts:
        return []
    fitted = [_fit(*box) for box in zip(texts, widths, heights, strict=True)]
    sizes = sorted(fit.size for fit in fitted if fit is not None)
    common = _LARGER * sizes[(len(sizes) - 1) // _TOO_LONG] if sizes else LARGEST
    return [fit and Fitted(fit.text, min(fit.size, common)) for fit in fitted]


def _fit(text: str, width: float, height: float) -> Fitted | None:
    """The text as large as it can be."""
    one = min(LARGEST, height / LINE, width / max(text_width(text), 1e-6))
    if one >= _EASY:
        return Fitted(text, one)
    if (halves := _halves(text)) is not None:
        two = min(LARGEST, height / 2 / LINE, width / max(map(text_width, halves)))
        if two >= max(READABLE, _BROKEN * one):
            return Fitted("\n".join(halves), two)
    if one >= READABLE:
        return Fitted(text, one)
    if min(height / LINE, LARGEST) < READABLE:
        return None
    short = _CUT_ESCAPE.sub("…", shorten(text, width / READABLE))
    return Fitted(short, READABLE) if len(short) > _SHORTEST else None


def _halves(text: str) -> tuple[str, str] | None:
    """Two lines, as equal as can be, broken after a sign, before a capital, or with a hyphen.

    Between the escapes of an escaped text; None: it is too short for two lines.
    """
    middle = (len(text) + 1) // 2
    breaks = [i for i in range(2, len(text) - 1) if _ends(text[:i], text[i:])]
    near = min(breaks, key=lambda i: abs(i - middle), default=0)
    if near and abs(near - middle) <= len(text) / 4:
        return text[:near].rstrip(), text[near:].lstrip()
    if len(text) < _TWO_LINES or "\\" in text:
        return None
    hyphen = "-" if text[middle - 1].isalpha() else ""
    return text[:middle] + hyphen, text[middle:]


def _ends(start: str, rest: str) -> bool:
    """Whether a word may be broken there without a hyphen."""
    if "\\" in start + rest:
        return rest[0] == "\\" and start[-1] != "\\"
    return not start[-1].isalnum() or (start[-1].islower() and rest[0].isupper())


def shorten(text: str, width: float) -> str:
    """`text` cut with … so that it is at most `width` wide, in units of the font size."""
    if text_width(text) <= width:
        return text
    for end in range(len(text) - 1, 0, -1):
        if text_width(text[:end] + "…") <= width:
            return text[:end] + "…"
    return "…"


def shorten_start(text: str, width: float) -> str:
    """As `shorten`, but the end stays: paths and names of models differ there."""
    if text_width(text) <= width:
        return text
    for start in range(1, len(text)):
        if text_width("…" + text[start:]) <= width:
            return "…" + text[start:]
    return "…"


def wrap(text: str, width: float, size: float) -> str:
    """`text` broken into lines of at most `width` points at font size `size`.

    It is broken between words, and within a word that is longer than a line.
    """
    lines, width = [""], width / size
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer) <= width:
            lines[-1] = longer
        else:
            lines += _pieces(word, width)
    return "\n".join(line for line in lines if line)


def _pieces(word: str, width: float) -> list[str]:
    """A word in pieces of at most `width`, in units of the font size, or of one letter."""
    pieces = [""]
    for letter in word:
        if pieces[-1] and text_width(pieces[-1] + letter) > width:
            pieces.append("")
        pieces[-1] += letter
    return pieces
