"""Table 5 as a figure: the paper's FLOPs beside the true ones, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from llavit_lens.figures.page import EDGE, Page
from llavit_lens.figures.style import DARK
from llavit_lens.studies.costs.bars import HEIGHT, INK, SECOND, draw_bar, draw_key

if TYPE_CHECKING:
    from llavit_lens.figures.figure import Figure
    from llavit_lens.studies.costs.table_5 import FlopRow

MODULE_NAMES = {
    "causal_attention": "Causal attention",
    "bidirectional_attention": "Causal + bidirectional attention",
    "mlp": "MLP",
    "lm_head": "LM head",
    "llm_baseline": "Whole LLM, baseline",
    "llm_llavit": "Whole LLM, LLaViT",
}

LAYER_MODULES = ("causal_attention", "bidirectional_attention", "mlp")
"""Those that each decoder layer has."""

# Inches.
_WIDTH, _LEFT, _LONGEST, _WHY = 11.6, 2.55, 4.3, 7.75
_ROW, _BLOCK_HEAD = 0.78, 0.5
_KEY = [
    (INK, "printed in the paper", 2.3),
    (SECOND, "counted on the real modules", 0.0),
]


def draw_flops(rows: Sequence[FlopRow], paper_pct: float, counted_pct: float) -> Figure:
    """Draw the rows of `table_5`, with what LLaViT adds in percent (`increases`)."""
    blocks = {
        "In each of the 36 decoder layers": [row for row in rows if row.module in LAYER_MODULES],
        "In the whole LLM": [row for row in rows if row.module not in LAYER_MODULES],
    }
    page = Page(_WIDTH)
    top = page.heading("What one pass through Qwen2.5-3B costs, in GFLOPs")
    page.figure.caption = flops_caption(paper_pct, counted_pct)
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
    return page.finish(top - 0.2 + EDGE)


def flops_caption(paper_pct: float, counted_pct: float) -> str:
    """What the numbers are, and what LLaViT adds in percent, printed and counted."""
    return (
        "Billions of floating-point operations (GFLOPs) for 1024 tokens, 576 of them visual: as "
        "printed in Table 5 of the paper (arXiv 2511.10301), and as counted on the real modules. "
        "Matrix products only; two operations for each multiply-add. Bars compare within a block. "
        f"Attention both ways between visual tokens adds {counted_pct:.2f} % to the whole LLM, "
        f"{paper_pct:.2f} % by the paper's numbers."
    )


def _draw_row(page: Page, top: float, row: FlopRow, scale: float) -> None:
    name = MODULE_NAMES[row.module]
    page.paragraph(EDGE, top + 0.06, name, width=_LEFT - EDGE - 0.3, color=DARK)
    draw_bar(page, _LEFT, top, [(row.gflops_paper * scale, INK)], f"{row.gflops_paper:,.1f}")
    below = top + HEIGHT + 0.03
    draw_bar(page, _LEFT, below, [(row.gflops * scale, SECOND)], f"{row.gflops:,.1f}")
    page.paragraph(_WHY, top + 0.02, row.difference, size=9.5)
