"""Fonts for any script: DejaVu Sans, and an installed font for each character that it lacks."""

from __future__ import annotations

from functools import cache

from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font

FONT = "DejaVu Sans"  # comes with matplotlib, so figures are the same everywhere

FAMILIES = [FONT]
"""What text is drawn with, first to last. It grows when a character is met that none of them
has and an installed font does; matplotlib asks them in this order, character by character."""

# They hold a box for every character, or other signs than Unicode says.
_NOT_FOR_TEXT = ("Last Resort", "Adobe Blank", "Adobe NotDef", "Unicode BMP", "cm", "STIXNon")


@cache
def can_draw(character: str) -> bool:
    """Whether a font is there for the character; from then on it is among `FAMILIES`."""
    if any(ord(character) in _characters(family) for family in FAMILIES):
        return True
    for family, path in _installed():
        # a family may have several files, and matplotlib draws with the one that it finds by name
        if _has(path, character) and ord(character) in _characters(family):
            FAMILIES.append(family)
            return True
    return False


def text_width(text: str) -> float:
    """Width of `text` in points, per point of font size."""
    return _width(text, tuple(FAMILIES))


@cache
def _width(text: str, families: tuple[str, ...]) -> float:
    font = get_font([_file(family) for family in families])
    font.set_size(100, 72)
    font.set_text(text)
    return float(font.get_width_height()[0]) / 64 / 100


@cache
def _file(family: str) -> str:
    # as it comes: the name of a file in a collection of fonts knows its place there
    return findfont(FontProperties(family=family))


@cache
def _characters(family: str) -> frozenset[int]:
    return frozenset(get_font(_file(family)).get_charmap())


@cache
def _installed() -> list[tuple[str, str]]:
    """Name and file of the plain fonts of this machine: those made for many scripts first."""
    plain = {
        font.name: font.fname
        for font in fontManager.ttflist
        if font.style == "normal" and not font.name.startswith(_NOT_FOR_TEXT)
    }
    return sorted(plain.items(), key=lambda font: (_rank(font[0]), font[0]))


def _rank(family: str) -> int:
    if any(word in family for word in ("Serif", "Mono", "Bold", "Display", "Condensed")):
        return 2
    return 0 if family.startswith("Noto Sans") else 1


def _has(path: str, character: str) -> bool:
    try:
        font = get_font(path)
        # a font of pixels, as of colored emoji, has no outlines to draw
        return font.scalable and font.get_char_index(ord(character)) != 0
    except (OSError, RuntimeError):  # a file that FreeType does not read
        return False
