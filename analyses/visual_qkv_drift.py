"""How far LLaViT's visual Q, K and V have moved from the text ones, layer by layer.

    python analyses/visual_qkv_drift.py --out drift
    python analyses/visual_qkv_drift.py --model llavit-7b --base lmsys/vicuna-7b-v1.5 --out drift

For Eq. 6 of the paper: visual projections start as copies of the text ones, so the distance between
them is what training has made different. With --base, both are compared with that start.
"""

from __future__ import annotations

from typing import Annotated

import typer

from llavit_lens.options import BaseOption, FolderOption, ModelOption, TableOption, table_alone
from llavit_lens.terminal import run
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Measure how far visual projections have moved from the text ones.")
def main(
    context: typer.Context,
    model: ModelOption = "demo:llavit",
    base: BaseOption = None,
    directions: Annotated[
        int, typer.Option(help="Singular directions of the change that count as the top ones.")
    ] = 8,
    table: TableOption = None,
    out: FolderOption = None,
) -> None:
    if table is not None:
        table_alone(context)
    with waiting(PYTORCH):
        from llavit_lens.studies.qkv_drift.report import qkv_drift_report, redraw_qkv_drift

    if table is not None:
        redraw_qkv_drift(table, out)
        return
    qkv_drift_report(model, base, directions, out)


if __name__ == "__main__":
    run(app)
