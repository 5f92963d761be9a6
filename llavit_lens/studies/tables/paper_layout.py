"""Tables 1 and 3 as the paper prints them: a row for each variant, a column for each category."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llavit_lens.figures.names import variant_titles
from llavit_lens.figures.table import draw_table
from llavit_lens.studies.tables.paper_accuracy import BASE_LLMS, CATEGORIES

if TYPE_CHECKING:
    import pandas as pd

    from llavit_lens.figures.figure import Figure

_TITLES = {
    1: "Table 1. Training without visual attention, in miniature",
    3: "Table 3. The parts of LLaViT one by one, in miniature",
}
_HEADINGS = {  # as the paper calls them
    "vision_centric": "Vision-centric",
    "ocr_chart": "OCR & chart",
    "knowledge": "Knowledge",
    "general": "General",
}


def draw_paper_table(table: pd.DataFrame, number: int, scenes: int) -> Figure:
    """Draw the table of `compare` with the paper's own numbers below ours.

    Args:
        number: the paper's, 1 or 3.
        scenes: how many were asked about.
    """
    answers = table[table["measure"].eq("accuracy")]
    rows = []
    for variant, title in variant_titles(answers["variant"]).items():
        own = answers[answers["variant"].eq(variant)].set_index("category")
        cells = []
        for category in CATEGORIES:
            row = own.loc[category]
            half = 50 * (row["high"] - row["low"])
            theirs = " / ".join(f"{row[f'paper {llm}']:.1f}" for llm in BASE_LLMS)
            cells.append(f"{100 * row['value']:.1f} ± {half:.1f}\n({theirs})")
        rows.append([title, *cells])
    caption = (
        f"Percent of right answers of miniature models on {scenes} held-out scenes, ± half a 95 % "
        f"interval; in brackets Table {number} of the paper (arXiv 2511.10301), with "
        f"{' / '.join(BASE_LLMS)}. The paper asks about photographs and documents, so only the "
        "order of rows compares. The miniature world has signs to read and no charts."
    )
    headings = ["", *(_HEADINGS[category] for category in CATEGORIES)]
    return draw_table(_TITLES[number], caption, headings, [rows[:1], rows[1:]])
