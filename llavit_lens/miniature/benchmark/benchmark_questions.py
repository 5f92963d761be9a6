"""Which questions the benchmark asks about a scene."""

from __future__ import annotations

import random
from collections import Counter

from llavit_lens.miniature.world.questions import Question, questions
from llavit_lens.miniature.world.scenes import Scene

QUESTIONS_PER_CATEGORY = 4


def benchmark_questions(scene: Scene) -> list[Question]:
    """The questions about a held-out scene: a few of each category, the same for every model."""
    count, kept = Counter[str](), []
    for question in questions(scene, random.Random(f"score {scene.seed}"), benchmark=True):
        count[question.category] += 1
        if count[question.category] <= QUESTIONS_PER_CATEGORY:
            kept.append(question)
    return kept
