"""Table 5 as a picture: the paper's FLOPs beside the true ones, and why they differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from matplotlib.figure import Figure

from llavit_lens.figures.fit import wrap
from llavit_lens.figures.page import Page
from llavit_lens.figures.style import MUTED
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
_WIDTH, _EDGE, _LEFT, _LONGEST, _WHY = 11.6, 0.3, 2.55, 4.3, 7.75
_HEAD, _ROW, _BETWEEN = 1.45, 0.78, 0.5
_LAYER = ("causal_attention", "bidirectional_attention", "mlp")


def draw_flops(rows: Sequence[FlopRow], paper_pct: float, counted_pct: float) -> Figure:
    """Draw `evaluation.cost.table_5.table_5()`, with what LLaViT adds in percent (`increases`)."""
    blocks = {
        "In each of the 36 decoder layers": [row for row in rows if row.module in _LAYER],
        "In the whole LLM": [row for row in rows if row.module not in _LAYER],
    }
    page = Page(_WIDTH, _HEAD + len(rows) * _ROW + 2 * _BETWEEN + 0.75)
    page.text(_EDGE, 0.28, "What one pass through Qwen2.5-3B costs", size=17, weight="bold")
    page.text(
        _EDGE,
        0.66,
        "Billions of floating-point operations (GFLOPs) for 1024 tokens, 576 of them visual. "
        "Bars compare within a block.",
        size=11,
        color=MUTED,
    )
    key = [
        (INK, "printed in Table 5 of the paper, arXiv 2511.10301", 4.4),
        (SECOND, "counted on the real modules", 0.0),
    ]
    draw_key(page, _EDGE, 1.02, key)
    top = _HEAD
    for title, block in blocks.items():
        page.rule(_EDGE, top)
        page.text(_EDGE, top + 0.12, title, size=12, weight="bold")
        page.text(_WHY, top + 0.12, "Why the two differ", size=12, weight="bold")
        top += _BETWEEN
        scale = _LONGEST / max(max(row.gflops, row.gflops_paper) for row in block)
        for row in block:
            _draw_row(page, top, row, scale)
            top += _ROW
    page.rule(_EDGE, top)
    page.text(
        _EDGE,
        top + 0.15,
        f"Attention both ways between visual tokens adds {counted_pct:.2f} % to the whole LLM, "
        f"{paper_pct:.2f} % by the paper's numbers.",
        size=12,
        weight="bold",
    )
    page.text(
        _EDGE,
        top + 0.45,
        "Matrix products only; two operations for each multiply-add.",
        size=10,
        color=MUTED,
    )
    return page.figure


def _draw_row(page: Page, top: float, row: FlopRow, scale: float) -> None:
    name = wrap(MODULE_NAMES[row.module], (_LEFT - _EDGE - 0.3) * 72, 11)
    page.text(_EDGE, top + 0.06, name, size=11)
    draw_bar(page, _LEFT, top, [(row.gflops_paper * scale, INK)], f"{row.gflops_paper:,.1f}")
    below = top + HEIGHT + 0.03
    draw_bar(page, _LEFT, below, [(row.gflops * scale, SECOND)], f"{row.gflops:,.1f}")
    why = wrap(row.difference, (_WIDTH - _WHY - _EDGE) * 72, 9.5)
    page.text(_WHY, top + 0.02, why, size=9.5, color=MUTED)
