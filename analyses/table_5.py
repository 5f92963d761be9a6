"""FLOPs of LLaVA and LLaViT on Qwen2.5-3B for 1024 tokens, 576 of them visual.

    python analyses/table_5.py
    python analyses/table_5.py --out tables

After Table 5 of the paper: its numbers, the formulas that they imply, and the true counts. No
weights are needed: the models are built without memory.
"""

from __future__ import annotations

import typer

from llavit_lens.options import FolderOption, PaperLayoutOption
from llavit_lens.terminal import run
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Count the FLOPs of LLaVA and LLaViT on Qwen2.5-3B, beside the paper's numbers.")
def main(paper_layout: PaperLayoutOption = False, out: FolderOption = None) -> None:
    with waiting(PYTORCH):
        from llavit_lens.studies.costs.report import flop_report

    flop_report(out, paper_layout=paper_layout)


if __name__ == "__main__":
    run(app)
