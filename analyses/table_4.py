"""Parameters of LLaVA and LLaViT for each base LLM of the paper, counted at the real sizes.

    python analyses/table_4.py
    python analyses/table_4.py --out tables

After Table 4 of the paper. No weights are needed: the models are built without memory.
"""

from __future__ import annotations

import typer

from llavit_lens.options import FolderOption, PaperLayoutOption
from llavit_lens.terminal import run
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Count the parameters of LLaVA and LLaViT for each base LLM of the paper.")
def main(paper_layout: PaperLayoutOption = False, out: FolderOption = None) -> None:
    with waiting(PYTORCH):
        from llavit_lens.studies.costs.report import parameter_report

    parameter_report(out, paper_layout=paper_layout)


if __name__ == "__main__":
    run(app)
