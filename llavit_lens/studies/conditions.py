"""Models on the benchmark under interventions: words and answers, and what changes in them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.miniature.benchmark.evaluate import (
    BenchmarkScene,
    SceneCounts,
    evaluate,
    of_category,
)
from llavit_lens.vlm.vlm import VLM

AS_TRAINED = "as trained"
COLUMNS = (
    "model", "scenes", "condition", "first_layer", "last_layer", "measure", "category", "state",
    "value", "low", "high", "change", "change_low", "change_high",
)  # fmt: skip
"""What figures need of a `condition_table`."""


@dataclass(frozen=True)
class Condition:
    """One way to run a model.

    Attributes:
        name: what is done to visual tokens.
        first, last: the decoder layers of it, from 0, both included; None if there are none.
        apply: the intervention, as a context manager.
    """

    name: str
    first: int | None
    last: int | None
    apply: Callable[[VLM], AbstractContextManager[Any]]


TRAINED = Condition(AS_TRAINED, None, None, lambda vlm: nullcontext())


def evaluate_under(
    condition: Condition, vlm: VLM, scenes: Sequence[BenchmarkScene]
) -> list[SceneCounts]:
    """What a model reads and answers under a condition."""
    with condition.apply(vlm):
        return [evaluate(vlm, scene) for scene in scenes]


def condition_table(
    model: str, results: Sequence[tuple[Condition, list[SceneCounts]]], bootstrap: Bootstrap
) -> pd.DataFrame:
    """One row for each condition and measure; the first condition is `TRAINED`.

    Columns: model, scenes (how many), condition, first_layer, last_layer (decoder layers, from 0),
    measure (`accuracy` or `hit3`), category (of questions), state (of the residual stream, 0 is the
    projector's output), n, value, low, high, change, change_low, change_high (against `as trained`;
    95 %).
    """
    rows = []
    trained = _counts(results[0][1])
    for condition, results_under in results:
        for measure, (right, asked) in _counts(results_under).items():
            value = bootstrap.share(right, asked)
            change = bootstrap.change(trained[measure], (right, asked))
            rows.append(
                {
                    "model": model,
                    "scenes": len(results_under),
                    "condition": condition.name,
                    "first_layer": condition.first,
                    "last_layer": condition.last,
                    "measure": measure[0],
                    "category": measure[1],
                    "state": measure[2],
                    "n": int(asked.sum()),
                    **value._asdict(),
                    "change": change.value,
                    "change_low": change.low,
                    "change_high": change.high,
                }
            )
    whole = {name: "Int64" for name in ("first_layer", "last_layer", "state")}
    return pd.DataFrame(rows).astype(whole)


_Measure = tuple[str, str | None, int | None]


def _counts(results: list[SceneCounts]) -> dict[_Measure, tuple[np.ndarray, np.ndarray]]:
    """(right, asked) of each image, by measure, category and state."""
    counts: dict[_Measure, tuple[np.ndarray, np.ndarray]] = {}
    for category in sorted({name for result in results for name, _ in result.asked}):
        right = np.array([of_category(result.right, category) for result in results])
        asked = np.array([of_category(result.asked, category) for result in results])
        counts["accuracy", category, None] = (right, asked)
    patches = np.array([result.patches for result in results])
    for state in range(len(results[0].read)):
        counts["hit3", None, state] = (np.array([r.read[state] for r in results]), patches)
    return counts
