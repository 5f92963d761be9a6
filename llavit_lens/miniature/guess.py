"""How far one gets without looking: the most frequent answer to a question's words."""

from __future__ import annotations

import functools
import random
from collections import Counter, defaultdict
from collections.abc import Mapping

from llavit_lens.miniature.questions import Question, questions
from llavit_lens.miniature.scenes import sample_scene

SCENES = 20_000


@functools.cache
def blind_answers(scenes: int = SCENES) -> Mapping[str, str]:
    """Question -> its most frequent answer on training scenes (ties: the first in the alphabet)."""
    count: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(scenes):
        for asked in questions(sample_scene(seed), random.Random(f"guess {seed}")):
            count[asked.question][asked.answer] += 1
    return {
        question: min(answers, key=lambda word: (-answers[word], word))
        for question, answers in count.items()
    }


def is_guessed(asked: Question) -> bool:
    """Whether the words of a question alone would have been enough, this time."""
    return blind_answers().get(asked.question) == asked.answer
