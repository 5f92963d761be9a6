"""Questions about a scene that the demo models have learned to answer."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

from llavit_lens.miniature.world.questions import questions
from llavit_lens.miniature.world.scenes import Scene

ENOUGH = 0.85
"""Share of right answers that counts as learned."""
LEARNED: dict[str, tuple[str, ...]] = {
    "llavit": (
        "relation", "read_relation", "which_trait", "read", "read_at", "which", "color_at",
        "color_relation", "larger", "read_kind", "word_kind_at", "count", "background",
        "count_signs", "exist_kind",
    ),
    "baseline": (
        "read_relation", "which_trait", "read", "read_at", "which", "larger", "read_kind",
        "word_kind_at", "background", "count_signs", "exist_kind",
    ),
    "no_visual_attention": (
        "read_relation", "which_trait", "read", "which", "larger", "read_kind",
        "background", "count_signs", "exist_kind",
    ),
}  # fmt: skip
"""The kinds of questions that a variant answers right in `ENOUGH` of the cases after each of the
three trainings (analyses/results); those stand first that say most about a scene."""


def learned_kinds(variants: Sequence[str]) -> list[str]:
    """The kinds that all of these variants have learned; none if one of them is not known."""
    first, *others = (LEARNED.get(variant, ()) for variant in variants)
    return [kind for kind in first if all(kind in other for other in others)]


def suggested_questions(scene: Scene, variants: Sequence[str], most: int = 4) -> list[str]:
    """Questions about a scene as people write them, each of another kind that these variants have
    learned.

    Chosen by their kinds alone: whether the models answer them right here is not looked at.
    """
    of_kind = {q.kind: q.question for q in questions(scene, random.Random(scene.seed), True)}
    kinds = [kind for kind in learned_kinds(variants) if kind in of_kind]
    return [_as_written(of_kind[kind]) for kind in kinds[:most]]


def _as_written(question: str) -> str:
    """`what is left of the kite ?` with a capital, and without spaces before punctuation."""
    return re.sub(r" (?=[,?])", "", question).capitalize()
