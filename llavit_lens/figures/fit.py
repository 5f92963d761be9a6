"""Words into boxes: one font size for most, a smaller one for long words, … for the longest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from llavit_lens.figures.style import text_width

LARGEST, SMALLEST = 11.0, 4.5  # points
_TOO_LONG = 5  # one word in so many may be too long for the common size
_SHRINK = 0.72  # how much smaller a long word may be before it is cut


class Fitted(NamedTuple):
    """A word as it is drawn: its text, perhaps cut, and its font size in points."""

    text: str
    size: float


def fit_words(texts: Sequence[str], widths: Sequence[float], height: float) -> list[Fitted]:
    """Fit each text into a box of its width and of `height`, in points.

    A grid with one font size reads as a table, so most words share a size: one that fits four out
    of five.
    """
    if not texts:
        return []
    sizes = sorted(w / max(text_width(t), 1e-6) for t, w in zip(texts, widths, strict=True))
    common = sizes[(len(sizes) - 1) // _TOO_LONG]
    common = max(SMALLEST, min(common, LARGEST, 0.8 * height))
    return [_fit(text, width, common) for text, width in zip(texts, widths, strict=True)]


def _fit(text: str, width: float, common: float) -> Fitted:
    size = min(common, width / max(text_width(text), 1e-6))
    smallest = max(SMALLEST, _SHRINK * common)
    if size >= smallest:
        return Fitted(text, size)
    return Fitted(shorten(text, width / smallest), smallest)


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
