"""Parameters of LLaVA and LLaViT for each base LLM of the paper, counted at the real sizes.

    python analyses/table_4.py
    python analyses/table_4.py --out tables

After Table 4 of the paper. No weights are needed: the models are built without memory.
"""

from __future__ import annotations

import typer

from llavit_lens.options import FolderOption
from llavit_lens.terminal import run

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Count the parameters of LLaVA and LLaViT for each base LLM of the paper.")
def main(out: FolderOption = None) -> None:
    from llavit_lens.studies.costs.report import parameter_report

    parameter_report(out)


if __name__ == "__main__":
    run(app)
