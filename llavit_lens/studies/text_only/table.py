"""Answers without an image, of several models, as one table with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.studies.text_only.measure import TextResult
from llavit_lens.studies.text_only.text_questions import TextQuestion

ALL = "all"
COLUMNS = (
    "model", "category", "measure", "n", "value", "low", "high", "change", "change_low",
    "change_high",
)  # fmt: skip
"""Of the table."""


def text_table(
    questions: Sequence[TextQuestion], answered: Mapping[str, Sequence[TextResult]]
) -> pd.DataFrame:
    """One row for each model, category (`all` first) and measure.

    Columns: model, category, measure (`accuracy`, or `nll`: mean of -log p(answer) in nats), n
    (questions), value, low, high (95 %, texts drawn again), change, change_low, change_high
    (against the first model, paired).
    """
    _, group = np.unique([one.group for one in questions], return_inverse=True)
    groups = int(group.max()) + 1
    bootstrap = Bootstrap(groups)
    categories = np.array([one.category for one in questions])
    masks = {ALL: np.full(len(questions), True)}
    masks |= {name: categories == name for name in dict.fromkeys(categories.tolist())}
    rows = []
    first: dict[tuple[str, str], np.ndarray] = {}
    for model, results in answered.items():
        values = {
            "accuracy": np.array([one.right for one in results], dtype=np.float64),
            "nll": np.array([one.nll for one in results]),
        }
        for category, mask in masks.items():
            count = np.bincount(group[mask], minlength=groups)
            for measure, value in values.items():
                total = np.bincount(group[mask], value[mask], minlength=groups)
                before = first.setdefault((category, measure), total)
                change = bootstrap.change((before, count), (total, count))
                estimate = bootstrap.share if measure == "accuracy" else bootstrap.mean
                rows.append(
                    {
                        "model": model,
                        "category": category,
                        "measure": measure,
                        "n": int(count.sum()),
                        **estimate(total, count)._asdict(),
                        "change": change.value,
                        "change_low": change.low,
                        "change_high": change.high,
                    }
                )
    return pd.DataFrame(rows)
