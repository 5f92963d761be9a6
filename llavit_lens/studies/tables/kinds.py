"""Answers by kind of question: what a model has learned to answer, and what it has not."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter

import numpy as np
import pandas as pd

from llavit_lens.miniature.benchmark.guess import is_guessed
from llavit_lens.miniature.world.questions import CATEGORIES_OF_QUESTIONS, Question
from llavit_lens.studies.tables.run_result import RunResult
from llavit_lens.studies.tables.trained_runs import questions_of

Kind = tuple[str, str]  # category, kind


def by_kind(runs: Mapping[str, Sequence[RunResult]]) -> pd.DataFrame:
    """`kinds_table` of the runs of the miniature study, by variant."""
    shares = {
        variant: [
            {_kind(name): right / asked for name, (right, asked) in run.kinds.items()}
            for run in results
        ]
        for variant, results in runs.items()
    }
    return kinds_table(questions_of(next(iter(runs.values()))[0]), shares)


def share_right(answered: Iterable[tuple[Question, str]]) -> dict[Kind, float]:
    """The share of right answers by kind, from pairs of a question and an answer."""
    right, number = Counter[Kind](), Counter[Kind]()
    for question, answer in answered:
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
    questions_of_kind = defaultdict[Kind, list[Question]](list)
    for question in questions:
        questions_of_kind[question.category, question.kind].append(question)
    rows = []
    for kind in {kind for runs in shares.values() for run in runs for kind in run}:
        of_kind = questions_of_kind[kind]
        row = {
            "category": kind[0],
            "kind": kind[1],
            "example": min((q.question for q in of_kind), key=lambda text: (len(text), text)),
            "asked": len(of_kind),
            "guess": float(np.mean([is_guessed(q) for q in of_kind])),
        }
        values = {variant: [run[kind] for run in runs] for variant, runs in shares.items()}
        overall = float(np.mean([np.mean(of_runs) for of_runs in values.values()]))
        order = CATEGORIES_OF_QUESTIONS.index(kind[0]), -overall, kind[1]
        for variant, of_runs in values.items():
            mean = {"variant": variant, "seeds": len(of_runs), "value": float(np.mean(of_runs))}
            rows.append((order, row | mean | {"lowest": min(of_runs), "highest": max(of_runs)}))
    return pd.DataFrame([row for _, row in sorted(rows, key=itemgetter(0))])


def _kind(name: str) -> Kind:
    category, kind = name.split(", ")
    return category, kind
