"""Answers by kind of question: what a model has learned to answer, and what not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from llavit_lens.miniature.benchmark.guess import is_guessed
from llavit_lens.miniature.world.questions import CATEGORIES_OF_QUESTIONS, Question
from llavit_lens.studies.tables.run_file import Run
from llavit_lens.studies.tables.runs import asked_in

Kind = tuple[str, str]  # category, kind


def by_kind(runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """`kinds_table` of the runs of the miniature study, by variant."""
    shares = {
        variant: [
            {_kind(name): right / asked for name, (right, asked) in run.kinds.items()}
            for run in own
        ]
        for variant, own in runs.items()
    }
    return kinds_table(asked_in(next(iter(runs.values()))[0]), shares)


def share_right(asked: Iterable[tuple[Question, str]]) -> dict[Kind, float]:
    """Of pairs of a question and what was answered: the share right, by kind."""
    right, number = Counter[Kind](), Counter[Kind]()
    for question, answer in asked:
        number[question.category, question.kind] += 1
        right[question.category, question.kind] += answer == question.answer
    return {kind: right[kind] / n for kind, n in number.items()}


def kinds_table(
    questions: Iterable[Question], shares: Mapping[str, Sequence[Mapping[Kind, float]]]
) -> pd.DataFrame:
    """One row for each kind of question and variant: the mean over its runs of the share right.

    Columns: category, kind, example (the shortest question of the kind), asked (questions), guess
    (share that the words alone answer), variant, seeds, value, lowest, highest (of single runs).
    Categories are in the paper's order, kinds in that of their mean over all variants, highest
    first.

    Args:
        questions: all that were asked, the same of every variant.
        shares: for each run of each variant, the share of right answers by kind.
    """
    asked = defaultdict[Kind, list[Question]](list)
    for question in questions:
        asked[question.category, question.kind].append(question)
    rows = []
    for kind in {kind for own in shares.values() for run in own for kind in run}:
        of_kind = {
            "category": kind[0],
            "kind": kind[1],
            "example": min((q.question for q in asked[kind]), key=lambda text: (len(text), text)),
            "asked": len(asked[kind]),
            "guess": float(np.mean([is_guessed(q) for q in asked[kind]])),
        }
        values = {variant: [run[kind] for run in own] for variant, own in shares.items()}
        overall = float(np.mean([np.mean(own) for own in values.values()]))
        place = CATEGORIES_OF_QUESTIONS.index(kind[0]), -overall, kind[1]
        for variant, own in values.items():
            found = {"variant": variant, "seeds": len(own), "value": float(np.mean(own))}
            rows.append((place, of_kind | found | {"lowest": min(own), "highest": max(own)}))
    return pd.DataFrame([row for _, row in sorted(rows, key=lambda found: found[0])])


def _kind(name: str) -> Kind:
    category, kind = name.split(", ")
    return category, kind
