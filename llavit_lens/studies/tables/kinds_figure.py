"""Variants of the miniature study by kind of question, as a table in colors."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from llavit_lens.figures.charts import category_name
from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.style import MUTED, PALETTE, ink

if TYPE_CHECKING:
    import pandas as pd

# Inches.
_QUESTION, _COUNT, _CELL, _ROW, _HEAD, _LINE = 3.6, 0.65, 1.3, 0.3, 0.45, 0.18
_LEFT = EDGE + _QUESTION + _COUNT
# For the notes: 1.96 standard errors of a share of one half, the widest case.
HALF_INTERVAL = "Half a 95 % interval of one run: at most 98 / √asked points."
_LETTERS = 13  # of a heading, on one line


def draw_kinds(table: pd.DataFrame, title: str, note: str) -> Figure:
    """Draw the table of `by_kind`: a row for each kind of question, a column for each variant.

    note: what else a reader must know.
    """
    variants = list(dict.fromkeys(table["variant"]))
    page = Page(_LEFT + (1 + len(variants)) * _CELL + EDGE)
    top = page.heading(title, f"Percent of right answers by kind of question. {note}") + 0.22
    headings = [fill(variant, _LETTERS) for variant in ("by guessing", *variants)]
    for column, heading in enumerate(headings):
        page.text(_LEFT + column * _CELL, top, heading, size=9.5, weight="bold")
    page.text(EDGE + _QUESTION, top, "asked", size=9.5, color=MUTED)
    top += _LINE * max(heading.count("\n") + 1 for heading in headings)
    for category, kinds in table.groupby("category", sort=False):
        page.text(EDGE, top + 0.14, category_name(str(category)), size=11, weight="bold")
        top += _HEAD
        for _, rows in kinds.groupby("kind", sort=False):
            _draw_kind(page, top, rows)
            top += _ROW
    return page.finish(top + EDGE)


def _draw_kind(page: Page, top: float, rows: pd.DataFrame) -> None:
    """A kind of question: an example, how many there are, and each variant's share."""
    first = rows.iloc[0]
    page.text(EDGE, top + 0.07, first["example"], size=9.5)
    page.text(EDGE + _QUESTION, top + 0.07, str(first["asked"]), size=9.5, color=MUTED)
    _draw_share(page, _LEFT, top, first["guess"])
    for column, (_, row) in enumerate(rows.iterrows(), start=1):
        seeds = (row["lowest"], row["highest"]) if row["seeds"] > 1 else None
        _draw_share(page, _LEFT + column * _CELL, top, row["value"], seeds)


def _draw_share(
    page: Page, left: float, top: float, share: float, seeds: tuple[float, float] | None = None
) -> None:
    color = PALETTE(share)
    page.box(left, top, _CELL - 0.04, _ROW - 0.03, to_hex(color))
    page.text(left + 0.1, top + 0.06, f"{100 * share:.0f}", size=10, color=ink(color))
    if seeds:
        low, high = (f"{100 * value:.0f}" for value in seeds)
        page.text(left + 0.5, top + 0.07, f"{low} to {high}", size=8.5, color=ink(color))
