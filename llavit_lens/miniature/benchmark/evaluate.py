"""What a model reads and answers on scenes of the demo world, scene by scene.

Any model can be evaluated, whatever its grid: which visual tokens show an object, and which tokens
say a word, are the rules of `llavit_lens.evaluation`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from llavit_lens.evaluation.labelled.labelled_images import LabelledImage
from llavit_lens.evaluation.labelled.patch_labels import patch_labels
from llavit_lens.evaluation.readability.measures import said_of_each
from llavit_lens.evaluation.readability.word_tokens import WordTokens
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.benchmark.benchmark_questions import benchmark_questions
from llavit_lens.miniature.benchmark.labelled import with_labels
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.questions import Question
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import Scene, Truth, labels_of_patches, sample_scene
from llavit_lens.vlm.vlm import VLM

K = 3
_ANSWER_TOKENS = 5  # an answer is one word


class BenchmarkScene(NamedTuple):
    """A held-out scene: drawn and labelled, the truth of its patches, and questions about it."""

    labelled: LabelledImage
    truth: Truth
    questions: list[Question]

    @property
    def image(self) -> Image.Image:
        return self.labelled.image


def benchmark_scenes(scenes: int, seed: int) -> list[BenchmarkScene]:
    """Held-out scenes, the same for every model."""
    return [benchmark_scene(sample_scene(held_out_seed(seed, i))) for i in range(scenes)]


def benchmark_scene(scene: Scene) -> BenchmarkScene:
    """A scene drawn, with the questions about it."""
    image, labels = render(scene)
    truth = Truth(scene, labels_of_patches(labels))
    return BenchmarkScene(with_labels(scene, image, labels), truth, benchmark_questions(scene))


@dataclass(frozen=True)
class SceneCounts:
    """Counts of one scene.

    Attributes:
        right: answers that were right, by (category, kind of question).
        asked: questions, by (category, kind of question).
        read: patches of objects and signs with a true word among the top 3, by state of the
            residual stream (layers + 1).
        patches: patches of objects and signs.
    """

    right: Counter[tuple[str, str]]
    asked: Counter[tuple[str, str]]
    read: np.ndarray
    patches: int


def of_category(counts: Counter[tuple[str, str]], category: str) -> int:
    """Sum of the counts of a category of questions, over its kinds."""
    return sum(n for (name, _), n in counts.items() if name == category)


def evaluate(vlm: VLM, scene: BenchmarkScene) -> SceneCounts:
    """Read all states and ask all questions, under whatever intervention is active."""
    trace = vlm.trace(scene.image)
    label = patch_labels(trace.layout, scene.labelled).label
    things = np.flatnonzero(label >= 0)
    tokens, objects = WordTokens(vlm.tokenizer), scene.labelled.objects
    true = [tokens.any_of(objects[i].words) for i in label[things]]
    said_SNK = said_of_each(logit_lens(trace, k=K).ids[:, things], true)
    right, asked = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for question, answer in zip(scene.questions, answers(vlm, scene), strict=True):
        template = (question.category, question.kind)
        asked[template] += 1
        right[template] += answer == question.answer
    return SceneCounts(right, asked, said_SNK[:, :, -1].sum(1), len(things))


def answers(vlm: VLM, scene: BenchmarkScene) -> list[str]:
    """The first word of the model's answer to each question, without case and punctuation."""
    prompts = [vlm.prepare(scene.image, question.question) for question in scene.questions]
    return [first_word(text) for text in vlm.generate_batch(prompts, _ANSWER_TOKENS)]


def first_word(text: str) -> str:
    """In lower case, without punctuation around it; "" if there is none."""
    return next(iter(text.split()), "").strip(".,!\"'").lower()
