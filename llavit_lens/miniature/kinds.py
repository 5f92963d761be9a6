"""Runs of the miniature study by kind of question: what each variant has learned to answer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from llavit_lens.miniature.guess import is_guessed
from llavit_lens.miniature.questions import CATEGORIES_OF_QUESTIONS, Question
from llavit_lens.miniature.study import Run, asked_in


def by_kind(runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """One row for each kind of question and variant: the mean over its runs of the share right.

    Columns: category, kind, example (the shortest question of the kind), asked (questions), guess
    (share that the words alone answer), variant, seeds, value, lowest, highest (of single runs).
    Categories are in the paper's order, kinds in that of their mean over all variants, highest
    first.
    """
    one = next(iter(runs.values()))[0]
    questions = defaultdict[str, list[Question]](list)
    for question in asked_in(one):
        questions[f"{question.category}, {question.kind}"].append(question)
    rows = []
    for name, (_, asked) in one.kinds.items():
        own = questions[name]
        category, kind = name.split(", ")
        shares = {v: [run.kinds[name][0] / asked for run in mine] for v, mine in runs.items()}
        of_kind = {
            "category": category,
            "kind": kind,
            "example": min((q.question for q in own), key=lambda text: (len(text), text)),
            "asked": asked,
            "guess": float(np.mean([is_guessed(q) for q in own])),
        }
        overall = float(np.mean([np.mean(values) for values in shares.values()]))
        place = CATEGORIES_OF_QUESTIONS.index(category), -overall, kind
        for variant, values in shares.items():
            found = {"variant": variant, "seeds": len(values), "value": float(np.mean(values))}
            rows.append((place, of_kind | found | {"lowest": min(values), "highest": max(values)}))
    return pd.DataFrame([row for _, row in sorted(rows, key=lambda found: found[0])])
