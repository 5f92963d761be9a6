"""What the visual projections of a LLaViT do, layer by layer: Eq. 6 undone from each layer on.

    python analyses/visual_qkv_undone.py --out undone
    python analyses/visual_qkv_undone.py --projections v --scenes 50

Visual tokens use W^text where they had W^vis, in the last layers and more and more of them; words
on patches and answers, before and after, on scenes of the miniature world (which need the font Noto
Color Emoji).
"""

from __future__ import annotations

from typing import Annotated

import typer

from llavit_lens.options import (
    BaselineOption,
    FolderOption,
    ModelOption,
    ScenesOption,
    SeedOption,
    TableOption,
    table_alone,
)
from llavit_lens.terminal import run
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Give visual tokens the text projections, and measure what that changes.")
def main(
    context: typer.Context,
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = "demo:baseline",
    projections: Annotated[str, typer.Option(help="Which: q, k, v or several of them.")] = "qkv",
    scenes: ScenesOption = 200,
    seed: SeedOption = 12345,
    table: TableOption = None,
    out: FolderOption = None,
) -> None:
    if table is not None:
        table_alone(context)
    with waiting(PYTORCH):
        from llavit_lens.studies.qkv_undone.report import qkv_undone_report, redraw_undone

    if table is not None:
        redraw_undone(table, out)
        return
    qkv_undone_report(model, baseline or "", projections, scenes, seed, out)


if __name__ == "__main__":
    run(app)
