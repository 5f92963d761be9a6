"""Runs of the miniature study side by side, as the rows of the paper's Tables 1 and 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.studies.tables.paper_accuracy import BASE_LLMS, CATEGORIES
from llavit_lens.studies.tables.run_file import Run
from llavit_lens.studies.tables.runs import counts, reading

PaperTable = Mapping[str, Mapping[str, Sequence[float]]]


def compare(runs: Mapping[str, Sequence[Run]], paper: PaperTable) -> pd.DataFrame:
    """One row for each variant and measure, the first variant being what the others are held to.

    Columns: variant, seeds, measure (`accuracy` or `hit3`), category (of questions), state (of the
    residual stream; 0 is the projector's output), value, low, high, change, change_low, change_high
    (against the first variant, over the seeds that both have), lowest, highest (of single runs),
    and the paper's percent for each of its base LLMs. Intervals are 95 %, over scenes and seeds.
    """
    first, *_ = runs
    example = runs[first][0]
    bootstrap = Bootstrap(len(example.patches))
    measures = [_Measure("accuracy", category, None) for category in CATEGORIES]
    measures += [_Measure("hit3", None, state) for state in range(len(example.read[0]))]
    rows = []
    for variant, own in runs.items():
        base, same = _of_equal_seeds(runs[first], own)
        for measure in measures:
            right, asked = measure.of(own)
            single = right.sum(1) / asked.sum(1)
            row = {
                "variant": variant,
                "seeds": len(own),
                **measure._asdict(),
                **bootstrap.runs(right, asked)._asdict(),
                "lowest": float(single.min()),
                "highest": float(single.max()),
            }
            if base:
                change = bootstrap.change_of_runs(measure.of(base), measure.of(same))
                row |= {
                    "change": change.value,
                    "change_low": change.low,
                    "change_high": change.high,
                }
            if measure.category is not None:
                column = CATEGORIES.index(measure.category)
                row |= {f"paper {llm}": paper[variant][llm][column] for llm in BASE_LLMS}
            rows.append(row)
    return pd.DataFrame(rows).astype({"state": "Int64"})


class _Measure(NamedTuple):
    """What is counted of each scene: right answers of a category, or patches read in a state."""

    measure: str
    category: str | None
    state: int | None

    def of(self, runs: Sequence[Run]) -> tuple[np.ndarray, np.ndarray]:
        """(right, asked), each int [runs, scenes]."""
        if self.state is not None:
            return reading(runs, self.state)
        return counts(runs, str(self.category))


def _of_equal_seeds(base: Sequence[Run], own: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    seeds = {run.seed for run in base} & {run.seed for run in own}
    return [r for r in base if r.seed in seeds], [r for r in own if r.seed in seeds]


class Ordering(NamedTuple):
    """Two rows that the paper orders, in one category: does the miniature order them alike?

    Attributes:
        lower, higher: what the paper found, alike for both of its base LLMs.
        seeds: how many seeds both rows have.
        change: higher minus lower here, with its 95 % interval.
        verdict: `same` or `opposite` where the interval leaves out zero, else `undecided`; of one
            seed always that, as its interval knows nothing of other seeds.
    """

    category: str
    lower: str
    higher: str
    seeds: int
    change: float
    low: float
    high: float
    verdict: str


def orderings(runs: Mapping[str, Sequence[Run]], paper: PaperTable) -> list[Ordering]:
    """Every pair of rows and category that the paper orders alike for its base LLMs, held to it."""
    bootstrap = Bootstrap(len(next(iter(runs.values()))[0].patches))
    found = []
    for number, category in enumerate(CATEGORIES):
        for one, other in combinations(runs, 2):
            mine, theirs = _of_equal_seeds(runs[one], runs[other])
            gaps = [paper[other][llm][number] - paper[one][llm][number] for llm in BASE_LLMS]
            if not mine or min(gaps) * max(gaps) <= 0:
                continue
            pair = (one, mine), (other, theirs)
            (lower, below), (higher, above) = pair if gaps[0] > 0 else pair[::-1]
            change = bootstrap.change_of_runs(counts(below, category), counts(above, category))
            verdict = "undecided"
            if len(below) > 1 and change.low > 0:
                verdict = "same"
            elif len(below) > 1 and change.high < 0:
                verdict = "opposite"
            found.append(Ordering(category, lower, higher, len(below), *change, verdict))
    return found


def losses(runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """How far training has come, beside what is answered: a row for each run with losses on record.

    Columns: variant, seed, loss (the mean of the last fifth of stage 2), and the share of right
    answers for each category.
    """
    rows = []
    for run in (run for own in runs.values() for run in own):
        course = run.made.get("losses", {}).get("stage 2", [])
        if course:
            loss = float(np.mean(course[-max(1, len(course) // 5) :]))
            shares = {c: sum(run.right[c]) / sum(run.asked[c]) for c in CATEGORIES}
            rows.append({"variant": run.variant, "seed": run.seed, "loss": loss, **shares})
    return pd.DataFrame(rows)
