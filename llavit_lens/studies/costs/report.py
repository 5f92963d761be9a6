"""What `analyses/table_4.py` and `analyses/table_5.py` do: count, print, draw and save."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes
from llavit_lens.studies.costs.flops_figure import MODULE_NAMES, draw_flops, flops_caption
from llavit_lens.studies.costs.paper_layout import draw_table_4, draw_table_5
from llavit_lens.studies.costs.parameters_figure import draw_parameters, parameters_caption
from llavit_lens.studies.costs.table_4 import ParameterRow, agreement, table_4
from llavit_lens.studies.costs.table_5 import LLM, TOKENS, VISUAL, increases, table_5


def parameter_report(out: Path | None = None, *, paper_layout: bool = False) -> None:
    """Table 4: print it and, in the folder `out`, write table_4.csv, .png and .pdf.

    Args:
        paper_layout: draw the table as the paper has it.

    Raises:
        ConfigurationError: `out` is no folder and cannot be made one, or cannot be written to.
    """
    make_folder(out)
    rows = table_4()
    columns = ("base LLM", "method", "parameters", "in 10⁹", "paper", "+ %", "paper")
    cells = [
        (
            row.base_llm,
            row.method,
            f"{row.params:,}",
            _number(row.params_b, 2),
            _number(row.params_b_paper, 2),
            _number(row.increase_pct, 1),
            _number(row.increase_pct_paper, 1),
        )
        for row in rows
    ]
    table = pd.DataFrame([asdict(row) for row in rows])
    figure = draw_table_4(rows, parameters_caption(rows)) if paper_layout else draw_parameters(rows)
    write_report("table_4", table, figure, out)
    _print_table("Table 4: parameters of the whole model", columns, cells, section=2)
    same, printed = agreement(rows)
    print_notes(
        f"{same} of the {printed} numbers that the paper prints come out.",
        _vocabulary_note(rows),
        *_notes_on_other_llms(rows),
    )
    print_report_files("table_4", out)


def flop_report(out: Path | None = None, *, paper_layout: bool = False) -> None:
    """Table 5: print it and, in the folder `out`, write table_5.csv, .png and .pdf.

    Args:
        paper_layout: draw the table as the paper has it.

    Raises:
        ConfigurationError: as `parameter_report`.
    """
    make_folder(out)
    rows = table_5()
    columns = ("module", "paper", "formula that fits", "gives", "counted", "by formula")
    cells = [
        (
            MODULE_NAMES[row.module],
            _number(row.gflops_paper, 1),
            row.formula_implied,
            _number(row.gflops_implied, 1),
            _number(row.gflops, 1),
            _number(row.flops_by_formula / 1e9, 1),
        )
        for row in rows
    ]
    title = f"Table 5: GFLOPs of {LLM.name} for {TOKENS} tokens, {VISUAL} of them visual"
    paper, counted = increases(rows)
    table = pd.DataFrame([asdict(row) for row in rows])
    if paper_layout:
        figure = draw_table_5(rows, flops_caption(paper, counted))
    else:
        figure = draw_flops(rows, paper, counted)
    write_report("table_5", table, figure, out)
    _print_table(title, columns, cells, section=3)
    same = "agree exactly" if all(r.flops == r.flops_by_formula for r in rows) else "DISAGREE"
    print_notes(
        *(f"{MODULE_NAMES[row.module]}: {row.difference}" for row in rows),
        f"Bidirectional attention adds {paper:.2f} % to the LLM by the paper's numbers, "
        f"{counted:.2f} % as counted.",
        f"Counted with PyTorch's FlopCounterMode on the real modules, and by formula; both {same}. "
        "Matrix products only, two operations for each multiply-add. The counter itself counts "
        "attention for every pair of tokens; of these, only the pairs that the model's own mask "
        "lets through are kept.",
        "In the formulas N is the number of tokens, d the width, i the width of the MLP and L the "
        "number of layers. The paper's totals come out only from terms rounded to two decimals.",
    )
    print_report_files("table_5", out)


def _vocabulary_note(rows: Sequence[ParameterRow]) -> str:
    """Why the published embeddings do not give the paper's numbers."""
    resized = [row for row in rows if row.vocab != row.vocab_native]
    off = [
        f"{row.params_b_native:.2f} for {row.params_b_paper:.2f}"
        for row in resized
        if row.params_b_native != row.params_b_paper
    ]
    sizes = " or ".join(f"{size:,}" for size in sorted({row.vocab_native for row in resized}))
    return (
        f"Vocabulary: counted with embeddings of {resized[0].vocab:,} rows, the length of "
        "Qwen2.5's tokenizer, to which LLaVA's loader resizes them. The published weights are "
        f"padded to {sizes} rows; with these, {len(off)} numbers would differ from the paper's: "
        f"{', '.join(off)}."
    )


def _notes_on_other_llms(rows: Sequence[ParameterRow]) -> list[str]:
    """Notes on LLMs that the paper's table lacks."""
    return [
        f"{row.base_llm}: the paper prints no count. Counted with embeddings as published "
        f"({row.vocab:,} rows). Each of its heads has keys and values of its own, "
        "so their visual copies weigh more."
        for row in rows
        if row.params_b_paper is None and row.method == "Baseline"
    ]


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:,.{decimals}f}"


def _print_table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], section: int
) -> None:
    """`section`: a rule after so many rows. A column is right-aligned if it holds numbers only."""
    table = Table(title=title, title_justify="left")
    for column, *cells in zip(columns, *rows, strict=True):
        numeric = all(set(cell) <= set("0123456789.,") for cell in cells)
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    for number, row in enumerate(rows, start=1):
        table.add_row(*row, end_section=number % section == 0)
    Console().print(table)
