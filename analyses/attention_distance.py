"""How far visual tokens look: mean attention distance, layer by layer and head by head.

    python analyses/attention_distance.py --out distance
    python analyses/attention_distance.py --image photos/ --out distance \\
        --model llava-hf/llava-1.5-7b-hf --baseline ''

After Figure 7 of Dosovitskiy et al. 2021 (ViT), which the paper does not have: LLaViT makes the
LLM a vision encoder, so how far does it look? Without options it reads scenes of the miniature
world with the demo models; that needs the font Noto Color Emoji to draw them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llavit_lens.inputs import check_image_or_folder
from llavit_lens.options import (
    BaselineOption,
    FolderOption,
    ModelOption,
    SeedOption,
    TableOption,
    checked,
    image_path,
    table_alone,
)
from llavit_lens.terminal import run
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Measure how far visual tokens attend, for one model or two.")
def main(
    context: typer.Context,
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = "demo:baseline",
    image: Annotated[
        list[Path] | None,
        typer.Option(
            parser=image_path,
            callback=checked(check_image_or_folder),
            help="An image, example:NAME, or a folder of images; may be repeated. Default: "
            "scenes of the miniature world.",
        ),
    ] = None,
    scenes: Annotated[int, typer.Option(max=100_000, help="How many scenes.")] = 100,
    seed: SeedOption = 12345,
    table: TableOption = None,
    out: FolderOption = None,
) -> None:
    if table is not None:
        table_alone(context)
    with waiting(PYTORCH):
        from llavit_lens.studies.attention_distance.report import (
            attention_distance_report,
            redraw_attention_distance,
        )

    if table is not None:
        redraw_attention_distance(table, out)
        return
    models = [model] if not baseline else [baseline, model]
    attention_distance_report(models, image or [], scenes, seed, out)


if __name__ == "__main__":
    run(app)
