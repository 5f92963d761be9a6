"""What breaks when visual tokens no longer attend: Eq. 5 put on trained models, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.interventions.ablation import ablate_visual_attention
from llavit_lens.interventions.knockout import visual_attention
from llavit_lens.miniature.benchmark.evaluate import Exam, Result, examine, of_category
from llavit_lens.vlm.vlm import VLM

AS_TRAINED, NO_UPDATE, SELF_ONLY, WINDOW = "as trained", "Eq. 5", "only self", "Eq. 5 in"


@dataclass(frozen=True)
class Condition:
    """One way to run a model.

    Attributes:
        name: what is done to visual tokens.
        first, last: decoder layers it is done in, from 0, both included; None if in none.
        apply: the intervention, as a context manager.
    """

    name: str
    first: int | None
    last: int | None
    apply: Callable[[VLM], AbstractContextManager[Any]]


TRAINED = Condition(AS_TRAINED, None, None, lambda vlm: nullcontext())


def conditions(layers: int, window: int) -> list[Condition]:
    """As trained; Eq. 5 everywhere; each token sees only itself and text; Eq. 5 in each window.

    Raises:
        ConfigurationError: the window is larger than the decoder.
    """
    if not 1 <= window <= layers:
        raise ConfigurationError(
            f"--window {window}: the decoder has {layers} layers, so choose 1 to {layers}"
        )
    everywhere = (0, layers - 1)
    found = [
        TRAINED,
        Condition(NO_UPDATE, *everywhere, ablate_visual_attention),
        Condition(SELF_ONLY, *everywhere, lambda vlm: visual_attention(vlm, "self")),
    ]
    if window < layers:
        for first in range(layers - window + 1):
            apply = partial(ablate_visual_attention, layers=range(first, first + window))
            found.append(Condition(WINDOW, first, first + window - 1, apply))
    return found


def run(vlm: VLM, exams: Sequence[Exam], condition: Condition) -> list[Result]:
    """Examine a model under a condition."""
    with condition.apply(vlm):
        return [examine(vlm, exam) for exam in exams]


def table(
    model: str, results: Sequence[tuple[Condition, list[Result]]], bootstrap: Bootstrap
) -> pd.DataFrame:
    """One row for each condition and measure.

    Columns: model, condition, first_layer, last_layer (decoder layers, from 0), measure (`accuracy`
    or `hit3`), category (of questions), state (of the residual stream, 0 is the projector's
    output), n, value, low, high, change, change_low, change_high (against `as trained`; 95 %).
    """
    rows = []
    counts = {id(found): _counts(found) for _, found in results}
    trained = counts[id(results[0][1])]
    for condition, found in results:
        for measure, (right, asked) in counts[id(found)].items():
            value = bootstrap.share(right, asked)
            change = bootstrap.change(trained[measure], (right, asked))
            rows.append(
                {
                    "model": model,
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


def _counts(results: list[Result]) -> dict[_Measure, tuple[np.ndarray, np.ndarray]]:
    """(right, asked) of each picture, by measure, category and state."""
    found: dict[_Measure, tuple[np.ndarray, np.ndarray]] = {}
    for category in sorted({name for result in results for name, _ in result.asked}):
        right = np.array([of_category(result.right, category) for result in results])
        asked = np.array([of_category(result.asked, category) for result in results])
        found["accuracy", category, None] = (right, asked)
    patches = np.array([result.patches for result in results])
    for state in range(len(results[0].read)):
        found["hit3", None, state] = (np.array([r.read[state] for r in results]), patches)
    return found
