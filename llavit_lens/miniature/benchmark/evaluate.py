"""What a model reads and answers on scenes of the demo world, scene by scene.

Any model can be asked, whatever its grid: the truth of a visual token is that of the scene's patch
under its center.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image

from llavit_lens.images.layout import VisualLayout
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.questions import Question, questions
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import PATCH, Scene, Truth, patch_owners, sample_scene
from llavit_lens.vlm.vlm import VLM

K = 3
QUESTIONS_PER_CATEGORY = 4
_ANSWER_TOKENS = 5  # an answer is one word


class Exam(NamedTuple):
    """A drawn scene, its truth, and what is asked about it."""

    picture: Image.Image
    truth: Truth
    asked: list[Question]


def exams(scenes: int, seed: int) -> list[Exam]:
    """Held-out scenes, the same for every model."""
    return [exam_on(sample_scene(held_out_seed(seed, number))) for number in range(scenes)]


def exam_on(scene: Scene) -> Exam:
    """A scene drawn, with what is asked about it."""
    picture, labels = render(scene)
    return Exam(picture, Truth(scene, patch_owners(labels)), asked_of(scene))


def asked_of(scene: Scene) -> list[Question]:
    """The questions of a held-out scene: a few of each category, the same for every model."""
    count, asked = Counter[str](), []
    for question in questions(scene, random.Random(f"score {scene.seed}"), exam=True):
        count[question.category] += 1
        if count[question.category] <= QUESTIONS_PER_CATEGORY:
            asked.append(question)
    return asked


@dataclass(frozen=True)
class Result:
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
    return sum(n for (own, _), n in counts.items() if own == category)


def examine(vlm: VLM, exam: Exam) -> Result:
    """Read all states and ask all questions, under whatever intervention is active."""
    trace = vlm.trace(exam.picture)
    words = logit_lens(trace, k=K)
    true = [_true_words(exam.truth, trace.layout, i) for i in range(len(trace.layout))]
    things = [i for i, known in enumerate(true) if known]
    read = np.zeros(len(words.layers), dtype=np.int64)
    for state in range(len(words.layers)):
        for i in things:
            tops = (words.strings[token].strip() for token in words.ids[state, i].tolist())
            read[state] += any(word in true[i] for word in tops)
    right, asked = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for question, answer in zip(exam.asked, answers(vlm, exam), strict=True):
        template = (question.category, question.kind)
        asked[template] += 1
        right[template] += answer == question.answer
    return Result(right, asked, read, len(things))


def _true_words(truth: Truth, layout: VisualLayout, i: int) -> frozenset[str]:
    """Of visual token `i`, if it lies on an object or a sign."""
    left, top, right, bottom = layout.boxes[i]
    row, col = int((top + bottom) / 2 // PATCH), int((left + right) / 2 // PATCH)
    last = len(truth.owner) - 1
    thing = truth.thing(min(row, last), min(col, last))
    return frozenset() if thing is None else thing.words


def answers(vlm: VLM, exam: Exam) -> list[str]:
    """The first word of the model's answer to each question, without case and punctuation."""
    prompts = [vlm.prepare(exam.picture, question.question) for question in exam.asked]
    return [first_word(text) for text in vlm.generate_batch(prompts, _ANSWER_TOKENS)]


def first_word(text: str) -> str:
    """In lower case, without punctuation around it; "" if there is none."""
    return next(iter(text.split()), "").strip(".,!\"'").lower()
