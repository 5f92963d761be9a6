"""A printed table: names to the left, numbers below their headings, rules as a book has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llavit_lens.figures.fit import wrap
from llavit_lens.figures.legible import drawable
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import BOLD_WIDTH, DARK, text_width

if TYPE_CHECKING:
    from llavit_lens.figures.figure import Figure

_EDGE, _GAP = 0.15, 0.3  # inches: the margin, and between columns
_SIZE, _TITLE = 9.0, 10.0  # points
_LINE, _PAD = 0.165, 0.07  # inches


def draw_table(
    title: str,
    caption: str,
    headings: Sequence[str],
    blocks: Sequence[Sequence[Sequence[str]]],
) -> Figure:
    """Draw rows of text in blocks, with a rule between blocks; a cell may have several lines.

    Args:
        title: drawn above the table, as papers do.
        caption: what was measured and on what; not drawn.
        headings: of the columns; the first one is that of the names.
    """
    rows = [headings, *(row for block in blocks for row in block)]
    widths = [
        max(_width(row[i], bold=row is headings) for row in rows) for i in range(len(headings))
    ]
    lefts = [_EDGE + sum(widths[:i]) + i * _GAP for i in range(len(widths))]
    page = Page(lefts[-1] + widths[-1] + _EDGE)
    room = page.width - 2 * _EDGE
    text = wrap(drawable(title), 72 * room, _TITLE)
    page.text(_EDGE, _EDGE, text, size=_TITLE)
    page.figure.title, page.figure.caption = drawable(title), caption
    top = _EDGE + 0.19 * len(text.splitlines()) + 0.1
    page.box(_EDGE, top, room, 0.016, DARK)
    top = _draw_row(page, top, headings, lefts, widths, bold=True)
    for block in blocks:
        page.box(_EDGE, top, room, 0.008, DARK)
        for row in block:
            top = _draw_row(page, top, row, lefts, widths)
    page.box(_EDGE, top, room, 0.016, DARK)
    return page.finish(top + _EDGE)


def _draw_row(
    page: Page,
    top: float,
    row: Sequence[str],
    lefts: Sequence[float],
    widths: Sequence[float],
    *,
    bold: bool = False,
) -> float:
    """Names are flush left, numbers in the middle of their columns. Returns where the row ends."""
    for column, (cell, left, width) in enumerate(zip(row, lefts, widths, strict=True)):
        for number, line in enumerate(drawable_lines(cell)):
            room = width - _width(line, bold=bold)
            at = left + (room / 2 if column else 0.0)
            foot = top + _PAD + (number + 0.75) * _LINE
            weight = "bold" if bold else "normal"
            page.text(at, foot, line, size=_SIZE, weight=weight, baseline=True)
    return top + 2 * _PAD + _LINE * max(len(cell.split("\n")) for cell in row)


def drawable_lines(cell: str) -> list[str]:
    """The lines of a cell, each safe to draw."""
    return [drawable(line) for line in cell.split("\n")]


def _width(cell: str, *, bold: bool) -> float:
    """Inches."""
    widest = max(text_width(line) for line in drawable_lines(cell))
    return widest * _SIZE / 72 * (BOLD_WIDTH if bold else 1.0)
