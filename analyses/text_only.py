"""What a VLM still knows without an image, beside the LLM that it was trained from.

    python analyses/text_only.py --out text
    python analyses/text_only.py --base runs/shared/llm --out text
    python analyses/text_only.py --model llavit-7b --baseline llava-hf/llava-1.5-7b-hf \\
        --base lmsys/vicuna-7b-v1.5 --questions questions.jsonl --out text

Questions and answers: one JSON object a line, {"question": …, "answer": …}; by default those about
new passages of the text that the miniature's language model was pretrained on.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llavit_lens.options import (
    CHECKED_FILE,
    BaselineOption,
    BaseOption,
    FolderOption,
    ModelOption,
    TableOption,
    path,
    table_alone,
)
from llavit_lens.terminal import run
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Ask models in text alone, before and after they learned to see.")
def main(
    context: typer.Context,
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = "demo:baseline",
    base: BaseOption = None,
    questions: Annotated[
        Path | None,
        typer.Option(
            parser=path,
            callback=CHECKED_FILE,
            help="Questions and answers, a JSON object on each line.",
        ),
    ] = None,
    documents: Annotated[
        int, typer.Option(max=100_000, help="Without --questions: how many passages.")
    ] = 200,
    seed: Annotated[int, typer.Option(max=899_999, help="Which set of passages.")] = 12345,
    table: TableOption = None,
    out: FolderOption = None,
) -> None:
    if table is not None:
        table_alone(context)
    with waiting(PYTORCH):
        from llavit_lens.studies.text_only.report import redraw_text_only, text_only_report

    if table is not None:
        redraw_text_only(table, out)
        return
    models = [model] if not baseline else [baseline, model]
    text_only_report(models, base, questions, documents, seed, out)


if __name__ == "__main__":
    run(app)
