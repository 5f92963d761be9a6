"""Table 5 as a figure: the paper's FLOPs beside the true ones, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.style import DARK
from llavit_lens.studies.costs.bars import HEIGHT, INK, SECOND, draw_bar, draw_key

if TYPE_CHECKING:
    from llavit_lens.studies.costs.table_5 import FlopRow

MODULE_NAMES = {
    "causal_attention": "Causal attention",
    "bidirectional_attention": "Causal + bidirectional attention",
    "mlp": "MLP",
    "lm_head": "LM head",
    "llm_baseline": "Whole LLM, baseline",
    "llm_llavit": "Whole LLM, LLaViT",
}

# Inches.
_WIDTH, _LEFT, _LONGEST, _WHY = 11.6, 2.55, 4.3, 7.75
_ROW, _BLOCK_HEAD = 0.78, 0.5
_LAYER = ("causal_attention", "bidirectional_attention", "mlp")
_KEY = [
    (INK, "printed in Table 5 of the paper, arXiv 2511.10301", 4.4),
    (SECOND, "counted on the real modules", 0.0),
]


def draw_flops(rows: Sequence[FlopRow], paper_pct: float, counted_pct: float) -> Figure:
    """Draw the rows of `table_5`, with what LLaViT adds in percent (`increases`)."""
    blocks = {
        "In each of the 36 decoder layers": [row for row in rows if row.module in _LAYER],
        "In the whole LLM": [row for row in rows if row.module not in _LAYER],
    }
    page = Page(_WIDTH)
    top = page.heading(
        "What one pass through Qwen2.5-3B costs",
        "Billions of floating-point operations (GFLOPs) for 1024 tokens, 576 of them visual. "
        "Bars compare within a block.",
    )
    top = draw_key(page, EDGE, top + 0.14, _KEY)
    for title, block in blocks.items():
        page.rule(EDGE, top)
        page.text(EDGE, top + 0.12, title, size=12, weight="bold")
        page.text(_WHY, top + 0.12, "Why the two differ", size=12, weight="bold")
        top += _BLOCK_HEAD
        scale = _LONGEST / max(max(row.gflops, row.gflops_paper) for row in block)
        for row in block:
            _draw_row(page, top, row, scale)
            top += _ROW
    page.rule(EDGE, top)
    top = page.paragraph(
        EDGE,
        top + 0.15,
        f"Attention both ways between visual tokens adds {counted_pct:.2f} % to the whole LLM, "
        f"{paper_pct:.2f} % by the paper's numbers.",
        size=12,
        color=DARK,
        weight="bold",
    )
    note = "Matrix products only; two operations for each multiply-add."
    return page.finish(page.paragraph(EDGE, top + 0.05, note, size=10) + EDGE)


def _draw_row(page: Page, top: float, row: FlopRow, scale: float) -> None:
    name = MODULE_NAMES[row.module]
    page.paragraph(EDGE, top + 0.06, name, width=_LEFT - EDGE - 0.3, color=DARK)
    draw_bar(page, _LEFT, top, [(row.gflops_paper * scale, INK)], f"{row.gflops_paper:,.1f}")
    below = top + HEIGHT + 0.03
    draw_bar(page, _LEFT, below, [(row.gflops * scale, SECOND)], f"{row.gflops:,.1f}")
    page.paragraph(_WHY, top + 0.02, row.difference, size=9.5)
