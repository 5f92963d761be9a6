"""Any script for which a font is installed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.figure import Figure
from matplotlib.font_manager import FontEntry, fontManager

from llavit_lens.figures import fonts
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.style import LITERAL

INSTALLED = list(fontManager.ttflist)
SIGN = "\u6309"  # not in DejaVu Sans


@pytest.fixture
def only_dejavu(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FontEntry]]:
    """As on a machine without other fonts; more can be added to the list."""
    entries = [entry for entry in fontManager.ttflist if entry.name.startswith("DejaVu")]
    monkeypatch.setattr(fontManager, "ttflist", entries)
    monkeypatch.setattr(fonts, "FAMILIES", families := [fonts.FONT])
    monkeypatch.setitem(LITERAL, "family", families)
    caches = (fonts.can_draw, fonts._installed, fonts._file, fonts._characters)
    for cache in caches:
        cache.cache_clear()
    yield entries
    for cache in caches:
        cache.cache_clear()


def made_font(path: Path) -> FontEntry:
    """A font with one sign, twice as wide as it is high."""
    builder = FontBuilder(1000)
    pen = TTGlyphPen(None)
    for x, y in ((0, 0), (0, 900), (1900, 900), (1900, 0)):
        (pen.moveTo if (x, y) == (0, 0) else pen.lineTo)((x, y))
    pen.closePath()
    builder.setupGlyphOrder([".notdef", "sign"])
    builder.setupCharacterMap({ord(SIGN): "sign"})
    builder.setupGlyf({".notdef": TTGlyphPen(None).glyph(), "sign": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (500, 0), "sign": (2000, 0)})
    builder.setupHorizontalHeader(ascent=900, descent=-100)
    builder.setupNameTable({"familyName": "Noto Sans Made", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=900, usWinAscent=900, usWinDescent=100)
    builder.setupPost()
    builder.save(path)
    return FontEntry(fname=str(path), name="Noto Sans Made", style="normal", weight=400)


def test_a_character_that_no_font_has_is_escaped(only_dejavu: list[FontEntry]) -> None:
    assert drawable(SIGN) == r"\u6309" and fonts.FAMILIES == [fonts.FONT]


def test_an_installed_font_draws_what_dejavu_lacks(
    only_dejavu: list[FontEntry], tmp_path: Path
) -> None:
    only_dejavu.append(made_font(tmp_path / "made.ttf"))
    assert drawable(f"a{SIGN}") == f"a{SIGN}"
    assert fonts.FAMILIES == [fonts.FONT, "Noto Sans Made"]
    assert fonts.text_width(SIGN) == pytest.approx(1.9, abs=0.15)
    figure = Figure()
    figure.text(0.1, 0.5, SIGN, **LITERAL)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # of a missing glyph
        figure.savefig(tmp_path / "sign.pdf")
        figure.savefig(tmp_path / "sign.png")


def test_a_family_has_what_the_file_has_that_is_drawn_with(
    only_dejavu: list[FontEntry], tmp_path: Path
) -> None:
    # as on Debian, whose DejaVu Sans Light has other characters than matplotlib's DejaVu Sans
    light = replace(made_font(tmp_path / "light.ttf"), name=fonts.FONT, weight=200)
    only_dejavu.append(light)
    assert drawable(SIGN) == r"\u6309" and fonts.FAMILIES == [fonts.FONT]


def test_a_font_with_a_box_for_everything_draws_nothing(only_dejavu: list[FontEntry]) -> None:
    boxes = [e for e in INSTALLED if e.name.startswith("Last Resort")]
    if not boxes:
        pytest.skip("this matplotlib has no font of last resort in its list")
    only_dejavu.extend(boxes)
    assert drawable(SIGN) == r"\u6309"


def test_a_file_that_is_no_font_is_passed_over(
    only_dejavu: list[FontEntry], tmp_path: Path
) -> None:
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    broken = FontEntry(fname=str(tmp_path / "broken.ttf"), name="Broken", style="normal")
    only_dejavu.append(broken)
    assert drawable(SIGN) == r"\u6309"
