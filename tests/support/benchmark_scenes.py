"""Benchmark scenes made of the example images, which need no emoji font."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LabelledObject
from llavit_lens.miniature.benchmark.evaluate import BenchmarkScene, benchmark_questions
from llavit_lens.miniature.world.questions import Question
from llavit_lens.miniature.world.scenes import PATCH, example_path, example_truth


def example_scene(name: str, questions: Sequence[Question] | None = None) -> BenchmarkScene:
    """An example scene; its masks are made of whole patches."""
    truth = example_truth(name)
    patch = np.ones((PATCH, PATCH), bool)
    objects = tuple(
        LabelledObject(np.kron(truth.patch_labels == number, patch), thing.name, thing.words)
        for number, thing in enumerate(truth.scene.things)
    )
    labelled = LabelledImage(Image.open(example_path(name)).convert("RGB"), objects)
    kept = benchmark_questions(truth.scene) if questions is None else list(questions)
    return BenchmarkScene(labelled, truth, kept)
