"""What breaks when visual tokens stop attending (Eq. 5), and in which layers it matters.

    python analyses/visual_attention_ablation.py --out ablation
    python analyses/visual_attention_ablation.py --model llava-hf/llava-1.5-7b-hf --scenes 50

After Section 3.1 and Table 1 of the paper, which trains a model without visual attention; here it
is also taken from models that were trained with it. Questions and patches are those of scenes
of the miniature world; drawing these needs the font Noto Color Emoji.
"""

from __future__ import annotations

from typing import Annotated

import typer

from llavit_lens.options import (
    CHECKED_MODEL,
    FolderOption,
    ScenesOption,
    SeedOption,
    TableOption,
    table_alone,
)
from llavit_lens.terminal import run
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Take visual attention away from trained models and measure what breaks.")
def main(
    context: typer.Context,
    model: Annotated[
        list[str] | None,
        typer.Option(
            callback=CHECKED_MODEL,
            help="A model; may be given several times. Default: the demo's two.",
        ),
    ] = None,
    trained_without: Annotated[
        str | None,
        typer.Option(
            callback=CHECKED_MODEL,
            help="A model trained without visual attention, for comparison.",
        ),
    ] = None,
    scenes: ScenesOption = 200,
    seed: SeedOption = 12345,
    window: Annotated[int, typer.Option(help="Decoder layers of a window of the sweep.")] = 2,
    table: TableOption = None,
    out: FolderOption = None,
) -> None:
    if table is not None:
        table_alone(context)
    with waiting(PYTORCH):
        from llavit_lens.studies.ablation.report import ablation_report, redraw_ablation

    if table is not None:
        redraw_ablation(table, out)
        return
    if not model and trained_without is None:
        trained_without = "demo:no_visual_attention"
    models = model or ["demo:baseline", "demo:llavit"]
    ablation_report(models, trained_without, scenes, seed, window, out)


if __name__ == "__main__":
    run(app)
