"""How long programs take to start, in CPU seconds, beside what importing PyTorch takes alone.

    python benchmarks/start.py
    python benchmarks/start.py --repeats 5 --out start.json

CPU seconds (user and system) of whole processes, the least of several: other work on the machine
lengthens wall times more. The models of transformers import much of PyTorch that `import torch`
does not, so they have a line of their own: what is above it is ours.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from llavit_lens.terminal import run

MODELS = "from transformers.models.llava import modeling_llava"
_LENS = (
    "import sys; sys.argv = ['llavit-lens', 'lens', {image!r}]; "
    "from llavit_lens.cli import main; main()"
)
PROGRAMS = {
    "import torch": "import torch",
    "import transformers' LLaVA": f"import torch; {MODELS}",
    "llavit-lens lens example:crown-north-kite": _LENS.format(image="example:crown-north-kite"),
    "llavit-lens lens nope.png": _LENS.format(image="nope.png"),
}
"""By what is measured: Python code, run in a new interpreter."""

app = typer.Typer(pretty_exceptions_enable=False)


@app.command(help="Measure the CPU seconds of starts.")
def main(
    repeats: Annotated[
        int, typer.Option(min=1, max=100, help="Runs of each; the least counts.")
    ] = 3,
    out: Annotated[Path | None, typer.Option(help="JSON to write.")] = None,
) -> None:
    seconds = {
        what: min(cpu_seconds(code) for _ in range(repeats)) for what, code in PROGRAMS.items()
    }
    torch = seconds["import torch"]
    for what, value in seconds.items():
        print(f"{what:42} {value:6.2f} CPU s, {value / torch:5.2f} times import torch")
    if out is not None:
        out.write_text(
            json.dumps({what: round(value, 3) for what, value in seconds.items()}) + "\n"
        )


def cpu_seconds(code: str) -> float:
    """User and system time of a new interpreter that runs `code`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


if __name__ == "__main__":
    run(app)
