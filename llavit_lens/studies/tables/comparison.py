"""Runs of the miniature study side by side, as the rows of the paper's Tables 1 and 3."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
import pandas as pd

from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.studies.tables.paper_accuracy import BASE_LLMS, CATEGORIES
from llavit_lens.studies.tables.run_result import RunResult
from llavit_lens.studies.tables.trained_runs import answer_counts, patch_counts

PaperTable = Mapping[str, Mapping[str, Sequence[float]]]


def compare(runs: Mapping[str, Sequence[RunResult]], paper: PaperTable) -> pd.DataFrame:
    """One row for each variant and measure; all variants are compared with the first.

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
    for variant, results in runs.items():
        base, same = _of_equal_seeds(runs[first], results)
        for measure in measures:
            right, asked = measure.of(results)
            single = right.sum(1) / asked.sum(1)
            row = {
                "variant": variant,
                "seeds": len(results),
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

    def of(self, runs: Sequence[RunResult]) -> tuple[np.ndarray, np.ndarray]:
        """(right, asked), each int [runs, scenes]."""
        if self.state is not None:
            return patch_counts(runs, self.state)
        return answer_counts(runs, str(self.category))


def _of_equal_seeds(
    first: Sequence[RunResult], second: Sequence[RunResult]
) -> tuple[list[RunResult], list[RunResult]]:
    seeds = {run.seed for run in first} & {run.seed for run in second}
    return [r for r in first if r.seed in seeds], [r for r in second if r.seed in seeds]


class Ordering(NamedTuple):
    """Two rows that the paper orders, in one category: does the miniature order them alike?

    Attributes:
        lower, higher: the order in the paper, the same for both of its base LLMs.
        seeds: how many seeds both rows have.
        change: higher minus lower here, with its 95 % interval.
        verdict: `same` or `opposite` if the interval leaves out zero, else `undecided`; with one
            seed always `undecided`, as its interval says nothing about other seeds.
    """

    category: str
    lower: str
    higher: str
    seeds: int
    change: float
    low: float
    high: float
    verdict: str


def orderings(runs: Mapping[str, Sequence[RunResult]], paper: PaperTable) -> list[Ordering]:
    """Every pair of rows and category that the paper orders alike for its base LLMs, held to it."""
    bootstrap = Bootstrap(len(next(iter(runs.values()))[0].patches))
    pairs = []
    for number, category in enumerate(CATEGORIES):
        for one, other in combinations(runs, 2):
            mine, theirs = _of_equal_seeds(runs[one], runs[other])
            gaps = [paper[other][llm][number] - paper[one][llm][number] for llm in BASE_LLMS]
            if not mine or min(gaps) * max(gaps) <= 0:
                continue
            pair = (one, mine), (other, theirs)
            (lower, below), (higher, above) = pair if gaps[0] > 0 else pair[::-1]
            change = bootstrap.change_of_runs(
                answer_counts(below, category), answer_counts(above, category)
            )
            verdict = "undecided"
            if len(below) > 1 and change.low > 0:
                verdict = "same"
            elif len(below) > 1 and change.high < 0:
                verdict = "opposite"
            pairs.append(Ordering(category, lower, higher, len(below), *change, verdict))
    return pairs


def losses(runs: Mapping[str, Sequence[RunResult]]) -> pd.DataFrame:
    """Training loss and right answers: a row for each run with a training history.

    Columns: variant, seed, loss (the mean of the last fifth of stage 2), and the share of right
    answers for each category.
    """
    rows = []
    for run in chain.from_iterable(runs.values()):
        history = run.made.get("losses", {}).get("stage 2", [])
        if history:
            loss = float(np.mean(history[-max(1, len(history) // 5) :]))
            shares = {c: sum(run.right[c]) / sum(run.asked[c]) for c in CATEGORIES}
            rows.append({"variant": run.variant, "seed": run.seed, "loss": loss, **shares})
    return pd.DataFrame(rows)
