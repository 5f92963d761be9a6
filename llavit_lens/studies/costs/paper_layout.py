"""Tables 4 and 5 as the paper prints them, with its numbers in brackets."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from llavit_lens.figures.table import draw_table
from llavit_lens.studies.costs.flops_figure import LAYER_MODULES, MODULE_NAMES

if TYPE_CHECKING:
    from llavit_lens.figures.figure import Figure
    from llavit_lens.studies.costs.table_4 import ParameterRow
    from llavit_lens.studies.costs.table_5 import FlopRow


def draw_table_4(rows: Sequence[ParameterRow], caption: str) -> Figure:
    """A row for each base LLM and method: billions of parameters, and what LLaViT adds."""
    blocks = []
    for name, group in groupby(rows, lambda row: row.base_llm):
        blocks.append(
            [
                [
                    "" if number else name,
                    row.method,
                    _beside(row.params_b, row.params_b_paper, 2),
                    "" if row.increase_pct is None else _more(row),
                ]
                for number, row in enumerate(group)
            ]
        )
    headings = ["Base LLM", "Method", "Parameters (10⁹)", "Increase"]
    return draw_table("Table 4. Parameters of the whole model", caption, headings, blocks)


def draw_table_5(rows: Sequence[FlopRow], caption: str) -> Figure:
    """A row for each module: GFLOPs."""
    blocks = [
        [
            [MODULE_NAMES[row.module], _beside(row.gflops, row.gflops_paper, 1)]
            for row in rows
            if (row.module in LAYER_MODULES) == in_a_layer
        ]
        for in_a_layer in (True, False)
    ]
    title = "Table 5. Floating-point operations of the LLM"
    return draw_table(title, caption, ["Module", "GFLOPs"], blocks)


def _more(row: ParameterRow) -> str:
    printed = row.increase_pct_paper
    theirs = "not printed" if printed is None else f"+{printed:.1f} %"
    return f"+{row.increase_pct:.1f} % ({theirs})"


def _beside(ours: float, printed: float | None, decimals: int) -> str:
    theirs = "not printed" if printed is None else f"{printed:,.{decimals}f}"
    return f"{ours:,.{decimals}f} ({theirs})"
