"""Variants of the miniature study by kind of question, as a table in one hue."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from matplotlib import colormaps
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_hex

from llavit_lens.figures.charts import SMALL, TITLE, WIDTH
from llavit_lens.figures.fit import shorten_start
from llavit_lens.figures.names import category_name, kind_name
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import BOLD_WIDTH, DARK, MUTED, text_width

if TYPE_CHECKING:
    import pandas as pd

    from llavit_lens.figures.figure import Figure

# White is no better than guessing, the deepest blue is all right; black letters read on both.
PALETTE = LinearSegmentedColormap.from_list("blues", colormaps["Blues"]([0.0, 0.2, 0.4, 0.6]))
# For captions: 1.96 standard errors of a share of one half, the widest case.
READ_KINDS = (
    "White is no better than guessing from the words of the question, the deepest blue is all "
    "right; asked: how many questions."
)
HALF_INTERVAL = "Half a 95 % interval of one run: at most 98 / √asked points."

# Inches.
_EDGE, _QUESTION, _COUNT, _GUESS, _ROW, _HEAD, _LINE = 0.15, 2.0, 0.42, 0.6, 0.2, 0.32, 0.15
_LEFT = _EDGE + _QUESTION + _COUNT + _GUESS
_GAP, _NARROWEST = 0.03, 0.78
_FOOT = 0.135  # of text in a row, below its top
_SMALLEST = 6.5  # points, of a heading


def draw_kinds(table: pd.DataFrame, title: str, caption: str, titles: Mapping[str, str]) -> Figure:
    """Draw the table of `by_kind`: a row for each kind of question, a column for each variant.

    Args:
        caption: what was asked and how to read it; not drawn.
        titles: what each variant is called.
    """
    variants = list(dict.fromkeys(table["variant"]))
    cell = max(_NARROWEST, (WIDTH - _LEFT - _EDGE) / len(variants))
    page = Page(_LEFT + len(variants) * cell + _EDGE)
    top = page.paragraph(
        _EDGE, _EDGE, title, size=TITLE, color=DARK, weight="bold", width=page.width - 2 * _EDGE
    )
    page.figure.title, page.figure.caption = title, caption
    top += 0.12
    size = _heading_size(titles.values(), cell - _GAP)
    headings = [_in_lines(titles[variant], cell - _GAP, size) for variant in variants]
    top += _LINE * max(map(len, headings))
    for column, lines in enumerate(headings):
        for up, line in enumerate(reversed(lines)):
            at = top - up * _LINE
            page.text(_LEFT + column * cell, at, line, size=size, weight="bold", baseline=True)
    page.text(_EDGE + _QUESTION, top, "asked", size=SMALL, color=MUTED, baseline=True)
    page.text(_LEFT - _GUESS, top, "guessing", size=SMALL, color=MUTED, baseline=True)
    for category, kinds in table.groupby("category", sort=False):
        name = category_name(str(category)).capitalize()
        page.text(_EDGE, top + 0.24, name, size=9.5, weight="bold", baseline=True)
        top += _HEAD
        for _, rows in kinds.groupby("kind", sort=False):
            _draw_kind(page, top, rows, cell)
            top += _ROW
    return page.finish(_draw_scale(page, top + 0.15) + _EDGE)


def above_guessing(share: float, guess: float) -> float:
    """How much of the way from guessing to all right: 0 where it is no better, at most 1."""
    return max(0.0, (share - guess) / (1 - guess)) if guess < 1 else 0.0


def _draw_kind(page: Page, top: float, rows: pd.DataFrame, cell: float) -> None:
    """A kind of question, how many there are, what guessing gets, and each variant's share."""
    first, foot = rows.iloc[0], top + _FOOT
    page.text(_EDGE, foot, kind_name(str(first["kind"])), size=SMALL, baseline=True)
    for left, text in (
        (_EDGE + _QUESTION, str(first["asked"])),
        (_LEFT - _GUESS, f"{100 * first['guess']:.0f}"),
    ):
        page.text(left, foot, text, size=SMALL, color=MUTED, baseline=True)
    for column, (_, row) in enumerate(rows.iterrows()):
        left = _LEFT + column * cell
        color = PALETTE(above_guessing(row["value"], first["guess"]))
        page.box(left, top, cell - _GAP, _ROW - 0.02, to_hex(color))
        share, low, high = (f"{100 * row[name]:.0f}" for name in ("value", "lowest", "highest"))
        page.text(left + 0.06, foot, share, size=SMALL, baseline=True)
        if low != high:
            page.text(left + 0.35, foot, f"{low}–{high}", size=6.5, baseline=True)


def _heading_size(titles: Iterable[str], width: float) -> float:
    """Points at which the longest word of any heading fits, but not too small."""
    longest = max(text_width(word) for title in titles for word in title.split(" "))
    return max(_SMALLEST, min(SMALL, 72 * width / BOLD_WIDTH / longest))


def _in_lines(title: str, width: float, size: float) -> list[str]:
    """A heading broken between its words; of a word that is too long, its end."""
    room = 72 * width / size / BOLD_WIDTH + 0.01
    lines: list[str] = []
    for word in title.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and text_width(longer) <= room:
            lines[-1] = longer
        else:
            lines.append(shorten_start(word, room))
    return lines


def _draw_scale(page: Page, top: float) -> float:
    """What the color means."""
    width, steps = 1.6, 32
    left = _LEFT + 0.75
    page.text(
        left - 0.08 - text_width("guessing") * SMALL / 72,
        top + 0.12,
        "guessing",
        size=SMALL,
        baseline=True,
    )
    scale = Normalize(0, steps - 1)
    for step in range(steps):
        color = to_hex(PALETTE(scale(step)))
        page.box(left + step * width / steps, top + 0.01, width / steps + 0.004, 0.12, color)
    page.text(left + width + 0.08, top + 0.12, "all right", size=SMALL, baseline=True)
    return top + 0.15
