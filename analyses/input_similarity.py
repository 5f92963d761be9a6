"""Words nearest to visual tokens as they enter the LLM (Eq. 4), and what they are at its output.

    python analyses/input_similarity.py
    python analyses/input_similarity.py --image dog.jpg --patch 8,10 --patch 14,3 --out dog.png \\
        --model llava-hf/llava-1.5-7b-hf --baseline ''

After Figures 1 and 4 of the paper. Without options it draws an example scene with the demo models.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from llavit_lens.options import (
    BaselineOption,
    ImageOption,
    KOption,
    ModelOption,
    OutOption,
    PromptOption,
    checked,
)
from llavit_lens.terminal import run
from llavit_lens.typed_numbers import parse_layers, parse_patch
from llavit_lens.waiting import PYTORCH, waiting

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(
    help="Draw selected patches with their nearest words at the input, beside the logit lens."
)
def main(
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = "demo:baseline",
    image: ImageOption = None,
    prompt: PromptOption = None,
    layers: Annotated[
        str,
        typer.Option(
            callback=checked(parse_layers),
            help="Layer of the logit lens: -1 is the output. A table may have several.",
        ),
    ] = "-1",
    k: KOption = 3,
    out: OutOption = Path("input_similarity.png"),
    patch: Annotated[
        list[str] | None,
        typer.Option(
            callback=checked(parse_patch),
            help="Row and column of a patch, like 3,5, or these and a tile, like 3,5,2; may be "
            "repeated. Default: the surest ones.",
        ),
    ] = None,
) -> None:
    with waiting(PYTORCH):
        from llavit_lens.commands.input_similarity import input_similarity_report

    patches = [parse_patch(text) for text in patch or []]
    input_similarity_report(image, model, baseline or None, prompt, layers, k, out, patches)


if __name__ == "__main__":
    run(app)
