"""The picture of `make demo`: one scene, and what baseline and LLaViT read off its patches."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from llavit_lens.disk import write_atomically
from llavit_lens.figures.demo import draw_comparison
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.world.scenes import example_path, example_truth, sharper_path
from llavit_lens.vlm.load import load

MODELS = {"LLaVA baseline": "demo:baseline", "LLaViT": "demo:llavit"}
MIDDLE = 2  # of six layers; scores of all of them are in the model cards


def draw_demo(out: Path, scene: str | None = None) -> None:
    """Write the picture of an example scene (the first if none is named): words at the input
    (Eq. 4), at a middle layer and at the output, baseline above LLaViT.

    Raises ConfigurationError for a scene that is not there, or a file that cannot be written.
    """
    path, truth = example_path(scene), example_truth(scene)
    rows = []
    true = None
    for title, name in MODELS.items():
        trace = load(name).trace(path)
        words = logit_lens(trace, k=3)
        cells = zip(trace.layout.row, trace.layout.col, strict=True)
        true = [truth.words(int(row), int(col)) or None for row, col in cells]
        rows.append((title, [(input_similarity(trace, k=3), 0), (words, MIDDLE), (words, -1)]))
    with Image.open(sharper_path(path)) as picture:
        figure = draw_comparison(picture.convert("RGB"), rows, true)
    with write_atomically(out) as unfinished:
        figure.savefig(unfinished)
