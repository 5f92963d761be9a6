"""Table 4 as a figure: how large the models are, and which part LLaViT adds."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from llavit_lens.figures.page import EDGE, Page
from llavit_lens.studies.costs.bars import HEIGHT, INK, POINT, SECOND, draw_bar, draw_key

if TYPE_CHECKING:
    from llavit_lens.figures.figure import Figure
    from llavit_lens.studies.costs.table_4 import ParameterRow

_WIDTH, _LEFT, _LONGEST, _GROUP = 11.0, 2.75, 5.1, 0.86  # inches
_BRACKETS = 8.65  # where their meaning stands, right of the key
_KEY = [
    (SECOND, "vision encoder and projector", 2.7),
    (INK, "language model", 1.65),
    (POINT, "Q, K, V of their own for visual tokens (LLaViT)", 0.0),
]


def draw_parameters(rows: Sequence[ParameterRow]) -> Figure:
    """Draw the rows of `table_4`: a bar for each base LLM and method."""
    page = Page(_WIDTH)
    top = page.heading("What LLaViT adds to the size of a model, in 10⁹ parameters")
    page.figure.caption = parameters_caption(rows)
    page.text(_BRACKETS, top + 0.29, "(printed in the paper)", size=10.5, baseline=True)
    top = draw_key(page, EDGE, top + 0.14, _KEY) + 0.05
    scale = _LONGEST / max(row.params for row in rows)
    for name, group in groupby(rows, lambda row: row.base_llm):
        page.text(EDGE, top + 0.17, name, size=12, weight="bold", baseline=True)
        for line, row in enumerate(group):
            parts = (
                (row.vision_tower + row.projector, SECOND),
                (row.llm, INK),
                (row.visual_qkv, POINT),
            )
            bars = [(count * scale, color) for count, color in parts]
            at = top + line * (HEIGHT + 0.06)
            draw_bar(page, _LEFT, at, bars, _label(row), name=row.method, name_width=0.95)
        top += _GROUP
    return page.finish(top - 0.15 + EDGE)


def parameters_caption(rows: Sequence[ParameterRow]) -> str:
    """What the numbers are."""
    return (
        "Billions of parameters, counted on models of the real sizes. Baseline: LLaVA-1.5. In "
        f"brackets: Table 4 of the paper (arXiv 2511.10301). {_note(rows)}"
    )


def _label(row: ParameterRow) -> str:
    """`8.40, +5.9 %   (8.40, +5.9 %)`: counted, and in brackets printed."""

    def numbers(billions: float, percent: float | None) -> str:
        return f"{billions:.2f}" if percent is None else f"{billions:.2f}, +{percent:.1f} %"

    counted = numbers(row.params_b, row.increase_pct)
    if row.params_b_paper is None:
        return f"{counted}  (not in the paper's table)"
    return f"{counted}  ({numbers(row.params_b_paper, row.increase_pct_paper)})"


def _note(rows: Sequence[ParameterRow]) -> str:
    resized = [row for row in rows if row.vocab != row.vocab_native]
    published = " or ".join(f"{size:,}" for size in sorted({row.vocab_native for row in resized}))
    return (
        f"Qwen2.5 with embeddings of {resized[0].vocab:,} rows, the length of its tokenizer, "
        "as LLaVA's loader resizes them; with the padded rows of the published weights "
        f"({published}) the 7B and 14B models would each come out 0.01 higher than printed."
    )
