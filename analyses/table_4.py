"""Parameters of LLaVA and LLaViT for each base LLM of the paper, counted at the real sizes.

    python analyses/table_4.py
    python analyses/table_4.py --out tables

After Table 4 of the paper. No weights are needed: the models are built without memory.
"""

from __future__ import annotations

import typer

from llavit_lens import cli

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Count the parameters of LLaVA and LLaViT for each base LLM of the paper.")
def main(out: cli.FolderOption = None) -> None:
    from llavit_lens.reports.costs import parameter_report

    parameter_report(out)


if __name__ == "__main__":
    cli.run(app)
