"""Questions about passages of the miniature's general text, which its language model was fed on."""

from __future__ import annotations

from random import Random

from llavit_lens.miniature.recipe.general_text import DOCUMENT_KINDS
from llavit_lens.studies.text_only.measure import TextQuestion


def text_questions(documents: int, seed: int) -> list[TextQuestion]:
    """All questions of new passages, each asked by itself; the category is the kind of passage.

    Training draws its passages from other random states; where a question has no passage (what kind
    of thing a word names) its answer is one that training told.
    """
    found: list[TextQuestion] = []
    number = group = 0
    while group < documents:
        rng = Random(f"text only, {seed}, {number}")
        number += 1
        kind = rng.choice(DOCUMENT_KINDS)
        document = kind(rng)
        for question, answer in document.turns:
            text = f"{document.context}\n{question}".strip()
            found.append(TextQuestion(text, answer, kind.__name__, group))
        group += bool(document.turns)
    return sorted(found, key=lambda one: one.category)
