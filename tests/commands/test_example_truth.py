"""Commands mark what is true where the image is an example scene, and only there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_vlm import tiny_vlm

from llavit_lens.commands import input_similarity, logit_lens, word_tables
from llavit_lens.commands.word_tables import scene_of
from llavit_lens.images.layout import VisualLayout
from llavit_lens.miniature.world.scenes import GRID, PATCH, example_truth
from llavit_lens.options import image_path
from llavit_lens.shipped import FIRST_EXAMPLE, example_of


def demo_layout() -> VisualLayout:
    row, col = np.divmod(np.arange(GRID * GRID), GRID)
    boxes = np.stack([col, row, col + 1, row + 1], axis=1).astype(float) * PATCH
    size = (GRID * PATCH, GRID * PATCH)
    return VisualLayout(row * GRID + col, 0 * row, row, col, ((GRID, GRID),), size, boxes)


def test_an_example_is_known_by_its_file(tmp_path: Path, monkeypatch) -> None:
    assert example_of(None) == FIRST_EXAMPLE
    assert example_of(image_path("example:sun-guitar")) == "sun-guitar"
    assert example_of(Path("example:sun-guitar")) is None  # a file that is named so
    assert example_of(tmp_path / "sun-guitar.png") is None


def test_the_truth_is_that_of_the_scene_that_is_read() -> None:
    layout = demo_layout()
    for name in ("sun-guitar", "kite-moon"):
        words = scene_of(image_path(f"example:{name}")).true_words(layout)
        truth = example_truth(name)
        assert words == [truth.words(row, col) or None for row in range(8) for col in range(8)]
    assert scene_of(Path("own.png")) is None


@pytest.mark.parametrize("module", [logit_lens, input_similarity])
def test_a_command_passes_it_on(module, monkeypatch, tmp_path: Path) -> None:
    asked = []
    trace = tiny_vlm("llavit").trace("example:sun-guitar")
    for place in (word_tables, module):  # imported when it is needed, or at once
        monkeypatch.setattr(
            place,
            "scene_of",
            lambda image: asked.append(example_of(image)),
            raising=place is word_tables,
        )
        monkeypatch.setattr(
            place,
            "traces_of_image",
            lambda *_: iter([("tiny", trace)]),
            raising=place is word_tables,
        )
    report = getattr(module, f"{module.__name__.rpartition('.')[2]}_report")
    report(image_path("example:sun-guitar"), "tiny", out=tmp_path / "a.png")
    assert asked == ["sun-guitar"]
