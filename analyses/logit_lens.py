"""The top word of every patch, layer by layer, for one model or two.

    python analyses/logit_lens.py
    python analyses/logit_lens.py --image dog.jpg --layers 0,16,-1 --out dog.png \\
        --model llava-hf/llava-1.5-7b-hf --baseline ''

After Figures 3, 5 and 6 of the paper. Without options it draws an example scene of the demo.
"""

from __future__ import annotations

from pathlib import Path

import typer

from llavit_lens.options import (
    BaselineOption,
    ImageOption,
    KOption,
    LayersOption,
    ModelOption,
    PromptOption,
    WordsOutOption,
)
from llavit_lens.terminal import run

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Draw the top word of every patch, layer by layer, for one model or two.")
def main(
    model: ModelOption = "demo:llavit",
    baseline: BaselineOption = "demo:baseline",
    image: ImageOption = None,
    prompt: PromptOption = None,
    layers: LayersOption = None,
    k: KOption = 5,
    out: WordsOutOption = Path("logit_lens.png"),
) -> None:
    from llavit_lens.commands.logit_lens import logit_lens_report

    logit_lens_report(image, model, baseline or None, prompt, layers, k, out)


if __name__ == "__main__":
    run(app)
