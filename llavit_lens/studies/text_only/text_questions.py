"""Questions in text alone: from a file, or about passages of the miniature's general text."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import NamedTuple

from llavit_lens.disk import read_text
from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.recipe.general_text import PASSAGE_KINDS
from llavit_lens.studies.text_only.right import plain_words


class TextQuestion(NamedTuple):
    """A question in text alone.

    Attributes:
        question: with all that it needs to be answered.
        answer: the right answer.
        category: of questions that are counted together.
        group: a number that questions about one text share: they are drawn together.
    """

    question: str
    answer: str
    category: str
    group: int


def text_questions(documents: int, seed: int) -> list[TextQuestion]:
    """All questions of new passages, each asked by itself; the category is the kind of passage.

    Training draws its passages from other random states; where a question has no passage (what kind
    of thing a word names) its answer was in the training text.
    """
    questions: list[TextQuestion] = []
    number = group = 0
    while group < documents:
        rng = Random(f"text only, {seed}, {number}")
        number += 1
        kind = rng.choice(PASSAGE_KINDS)
        passage = kind(rng)
        for question, answer in passage.turns:
            text = f"{passage.context}\n{question}".strip()
            questions.append(TextQuestion(text, answer, kind.__name__, group))
        group += bool(passage.turns)
    return sorted(questions, key=lambda one: one.category)


def read_questions(path: Path) -> list[TextQuestion]:
    """Questions from a file with a JSON object on each line: question, answer and,
    if results are wanted by category, category.

    Raises:
        ConfigurationError: no such file, fewer than 2 questions, or a line that is no such object.
    """
    lines = read_text(path).split("\n")
    questions = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            fields = json.loads(line)
            question, answer = fields["question"], fields["answer"]
            category = fields.get("category", "questions")
            texts = all(isinstance(text, str) for text in (question, answer, category))
            (question + answer + category).encode()  # half of a surrogate pair is no text
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            texts = False
        if not texts or not question.strip() or not plain_words(answer):
            raise ConfigurationError(
                f"--questions {path}, line {number}: is not an object such as "
                '{"question": "What is 2 + 2?", "answer": "4"}'
            )
        questions.append(TextQuestion(question, answer, category, number))
    if len(questions) < 2:
        raise ConfigurationError(
            f"--questions {path}: has {len(questions)}; intervals need at least 2"
        )
    return sorted(questions, key=lambda one: one.category)
