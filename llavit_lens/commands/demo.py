"""What `llavit-lens demo draw` does: draw the words of one scene by baseline and LLaViT."""

from __future__ import annotations

from pathlib import Path

from llavit_lens.figures.demo import draw_comparison
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.example import example
from llavit_lens.output import print_file, write_files
from llavit_lens.vlm.program import load

MODELS = {"LLaVA baseline": "demo:baseline", "LLaViT": "demo:llavit"}
MIDDLE = 2  # of six layers; scores of all of them are in the model cards


def draw_demo(out: Path, scene: str | None = None) -> None:
    """Draw an example scene (the first if none is named): words at the input (Eq. 4), at a middle
    layer and at the output, baseline above LLaViT.

    Raises:
        LlavitLensError: a scene that is not there, or a file that cannot be written.
    """
    shown = example(scene)
    rows = []
    for title, name in MODELS.items():
        trace = load(name).trace(shown)
        words = logit_lens(trace, k=3)
        rows.append((title, [(input_similarity(trace, k=3), 0), (words, MIDDLE), (words, -1)]))
    write_files({out: draw_comparison(shown.display, rows, shown)})
    print_file(out)
