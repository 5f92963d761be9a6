"""How far one gets without looking: the most frequent answer to a question's words."""

from __future__ import annotations

import functools
import random
from collections import Counter, defaultdict
from collections.abc import Mapping

from llavit_lens.miniature.world.questions import Question, questions
from llavit_lens.miniature.world.scenes import sample_scene

SCENES = 20_000
ENOUGH = 20  # times that a question must occur for its own answers to be counted


def guess(question: Question) -> str:
    """The likeliest answer to the question's words; where they are rare, to its kind of question.

    Of two things that it names (which is larger?) the first: a coin would do as well.
    """
    if question.kind == "larger":
        return question.question.split()[5]
    by_words, by_kind = _likeliest()
    return by_words.get(question.question, by_kind[question.kind])


def is_guessed(question: Question) -> bool:
    """Whether the words of this question alone give the right answer."""
    return guess(question) == question.answer


@functools.cache
def _likeliest(scenes: int = SCENES) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The most frequent answer by question and by kind, on training scenes (ties: by alphabet)."""
    words: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(scenes):
        for question in questions(
            sample_scene(seed), random.Random(f"guess {seed}"), benchmark=True
        ):
            words[question.question][question.answer] += 1
            kinds[question.kind][question.answer] += 1
    often = {text: counts for text, counts in words.items() if counts.total() >= ENOUGH}
    return _tops(often), _tops(kinds)


def _tops(counts: Mapping[str, Counter[str]]) -> dict[str, str]:
    return {
        key: min(answers, key=lambda word: (-answers[word], word))
        for key, answers in counts.items()
    }
