"""Variants of the miniature study by kind of question, as a table in colors."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from llavit_lens.figures.fit import wrap
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import MUTED, PALETTE, ink

if TYPE_CHECKING:
    import pandas as pd

# Inches.
_EDGE, _NOTE, _LINE, _QUESTION, _ASKED, _CELL, _ROW, _HEAD = (
    0.35, 0.64, 0.18, 3.6, 0.65, 1.3, 0.3, 0.45,
)  # fmt: skip
# For the notes: 1.96 standard errors of a share of one half, the widest case.
HALF_INTERVAL = "Half a 95 % interval of one run: at most 98 / √asked points."
_LETTERS = 13  # of a heading, on one line


def draw_kinds(table: pd.DataFrame, title: str, note: str) -> Figure:
    """Draw `miniature.kinds.kinds_table()`: a row for each kind, a column for each variant.

    note: what else a reader must know.
    """
    variants = list(dict.fromkeys(table["variant"]))
    left = _EDGE + _QUESTION + _ASKED
    page_width = left + (1 + len(variants)) * _CELL + _EDGE
    about = wrap(
        f"Percent of right answers by kind of question. {note}", 72 * (page_width - 2 * _EDGE), 11
    )
    headings_at = _NOTE + 0.24 * (about.count("\n") + 1) + 0.24
    headings = [fill(variant, _LETTERS) for variant in ("by guessing", *variants)]
    first_row = headings_at + _LINE * max(heading.count("\n") + 1 for heading in headings)
    categories = list(dict.fromkeys(table["category"]))
    kinds = table.groupby(["category", "kind"], sort=False)
    height = first_row + len(kinds) * _ROW + len(categories) * _HEAD + 0.3
    page = Page(page_width, height)
    page.text(_EDGE, 0.26, title, size=17, weight="bold")
    page.text(_EDGE, _NOTE, about, size=11, color=MUTED)
    for column, heading in enumerate(headings):
        page.text(left + column * _CELL, headings_at, heading, size=9.5, weight="bold")
    page.text(_EDGE + _QUESTION, headings_at, "asked", size=9.5, color=MUTED)
    top = first_row
    for category, of_category in table.groupby("category", sort=False):
        page.text(_EDGE, top + 0.14, str(category).replace("_", "-"), size=11, weight="bold")
        top += _HEAD
        for _, rows in of_category.groupby("kind", sort=False):
            first = rows.iloc[0]
            page.text(_EDGE, top + 0.07, first["example"], size=9.5)
            page.text(_EDGE + _QUESTION, top + 0.07, str(first["asked"]), size=9.5, color=MUTED)
            _draw_share(page, left, top, first["guess"])
            for column, (_, row) in enumerate(rows.iterrows(), start=1):
                seeds = (row["lowest"], row["highest"]) if row["seeds"] > 1 else None
                _draw_share(page, left + column * _CELL, top, row["value"], seeds)
            top += _ROW
    return page.figure


def _draw_share(
    page: Page, left: float, top: float, share: float, seeds: tuple[float, float] | None = None
) -> None:
    color = PALETTE(share)
    page.box(left, top, _CELL - 0.04, _ROW - 0.03, to_hex(color))
    page.text(left + 0.1, top + 0.06, f"{100 * share:.0f}", size=10, color=ink(color))
    if seeds:
        low, high = (f"{100 * value:.0f}" for value in seeds)
        page.text(left + 0.5, top + 0.07, f"{low} to {high}", size=8.5, color=ink(color))
