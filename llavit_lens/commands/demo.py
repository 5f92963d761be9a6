"""What `llavit-lens demo draw` does: draw the words of one scene by baseline and LLaViT."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from llavit_lens.figures.demo import draw_comparison
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.world.scenes import example_path, example_truth, sharper_path
from llavit_lens.output import print_file, write_files
from llavit_lens.vlm.program import load

MODELS = {"LLaVA baseline": "demo:baseline", "LLaViT": "demo:llavit"}
MIDDLE = 2  # of six layers; scores of all of them are in the model cards


def draw_demo(out: Path, scene: str | None = None) -> None:
    """Draw an example scene (the first if none is named): words at the input (Eq. 4), at a middle
    layer and at the output, baseline above LLaViT.

    Raises:
        ConfigurationError: a scene that is not there, or a file that cannot be written.
    """
    path, truth = example_path(scene), example_truth(scene)
    rows = []
    true_words = None
    for title, name in MODELS.items():
        trace = load(name).trace(path)
        words = logit_lens(trace, k=3)
        cells = zip(trace.layout.row, trace.layout.col, strict=True)
        true_words = [truth.words(int(row), int(col)) or None for row, col in cells]
        rows.append((title, [(input_similarity(trace, k=3), 0), (words, MIDDLE), (words, -1)]))
    with Image.open(sharper_path(path)) as image:
        figure = draw_comparison(image.convert("RGB"), rows, true_words)
    write_files({out: figure})
    print_file(out)
