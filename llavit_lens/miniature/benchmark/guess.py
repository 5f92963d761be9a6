"""How far one gets without looking: the most frequent answer to a question's words."""

from __future__ import annotations

import functools
import random
from collections import Counter, defaultdict
from collections.abc import Mapping

from llavit_lens.miniature.world.questions import Question, questions
from llavit_lens.miniature.world.scenes import sample_scene

SCENES = 20_000
ENOUGH = 20  # times that a question must have been asked for its own answers to be counted


def guess(asked: Question) -> str:
    """The likeliest answer to the question's words; where they are rare, to its kind of question.

    Of two things that it names (which is larger?) the first: a coin would do as well.
    """
    if asked.kind == "larger":
        return asked.question.split()[5]
    by_words, by_kind = _likeliest()
    return by_words.get(asked.question, by_kind[asked.kind])


def is_guessed(asked: Question) -> bool:
    """Whether the words of a question alone would have been enough, this time."""
    return guess(asked) == asked.answer


@functools.cache
def _likeliest(scenes: int = SCENES) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """The most frequent answer by question and by kind, on training scenes (ties: by alphabet)."""
    words: dict[str, Counter[str]] = defaultdict(Counter)
    kinds: dict[str, Counter[str]] = defaultdict(Counter)
    for seed in range(scenes):
        for asked in questions(sample_scene(seed), random.Random(f"guess {seed}"), exam=True):
            words[asked.question][asked.answer] += 1
            kinds[asked.kind][asked.answer] += 1
    often = {question: found for question, found in words.items() if found.total() >= ENOUGH}
    return _tops(often), _tops(kinds)


def _tops(counts: Mapping[str, Counter[str]]) -> dict[str, str]:
    return {
        key: min(answers, key=lambda word: (-answers[word], word))
        for key, answers in counts.items()
    }
