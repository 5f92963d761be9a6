"""What language models answer about scenes when every patch is given as a true word.

    python analyses/word_maps.py --out maps
    python analyses/word_maps.py --model runs/llavit-seed0/model --base runs/shared/llm --out maps

The benchmark of the miniature, once with the image and once with a map of words in its place, by
kind of question: what a language model knows from text, and what it has to learn with images.
Drawing scenes needs the font Noto Color Emoji.
"""

from __future__ import annotations

from typing import Annotated

import typer

from llavit_lens.options import (
    CHECKED_MODEL,
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


@app.command(help="Ask about scenes with words, then with the picture.")
def main(
    context: typer.Context,
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = "demo:baseline",
    base: Annotated[
        str | None,
        typer.Option(
            callback=CHECKED_MODEL,
            help="The language model that they were trained from. (default: the demo's)",
        ),
    ] = None,
    scenes: ScenesOption = 200,
    seed: SeedOption = 12345,
    table: TableOption = None,
    out: FolderOption = None,
) -> None:
    if table is not None:
        table_alone(context)
    with waiting(PYTORCH):
        from llavit_lens.studies.word_maps.report import redraw_word_maps, word_maps_report

    if table is not None:
        redraw_word_maps(table, out)
        return
    models = [model] if not baseline else [baseline, model]
    word_maps_report(models, base, scenes, seed, out)


if __name__ == "__main__":
    run(app)
