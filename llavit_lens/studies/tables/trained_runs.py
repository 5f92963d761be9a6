"""The miniature study: every variant, trained with several seeds, evaluated on the same scenes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.benchmark.evaluate import (
    BenchmarkScene,
    benchmark_questions,
    evaluate,
    of_category,
)
from llavit_lens.miniature.benchmark.guess import is_guessed
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.fingerprint import world_fingerprint
from llavit_lens.miniature.world.questions import CATEGORIES_OF_QUESTIONS, Question
from llavit_lens.miniature.world.scenes import sample_scene
from llavit_lens.studies.tables.run_result import RunResult, load_result
from llavit_lens.vlm.vlm import VLM


def evaluate_run(
    vlm: VLM,
    variant: str,
    seed: int,
    made: dict[str, Any],
    scenes: Iterable[BenchmarkScene],
    scene_set: int,
) -> RunResult:
    """What a trained model reads and answers on every scene of a benchmark."""
    results = [evaluate(vlm, scene) for scene in scenes]
    templates = sorted({template for result in results for template in result.asked})
    return RunResult(
        variant=variant,
        seed=seed,
        world=world_fingerprint(),
        made=made,
        scene_set=scene_set,
        kinds={
            ", ".join(template): [
                sum(result.right[template] for result in results),
                sum(result.asked[template] for result in results),
            ]
            for template in templates
        },
        right={
            category: [of_category(result.right, category) for result in results]
            for category in CATEGORIES_OF_QUESTIONS
        },
        asked={
            category: [of_category(result.asked, category) for result in results]
            for category in CATEGORIES_OF_QUESTIONS
        },
        read=[result.read.tolist() for result in results],
        patches=[result.patches for result in results],
    )


def load_results(folder: Path, variants: Sequence[str]) -> dict[str, list[RunResult]]:
    """The runs of some variants that a folder holds, in the order of their seeds.

    Raises:
        ConfigurationError: a file that is no result, a variant without any, or results that cannot
            be compared: of other presets, parts, worlds, scenes or depths.
    """
    runs: dict[str, list[RunResult]] = {}
    for variant in variants:
        results = [load_result(path) for path in folder.glob(f"{variant}-seed*.json")]
        if not results:
            raise ConfigurationError(
                f"{folder} holds no result of {variant}; train it with --train FOLDER, or name the "
                "folder of results with --results"
            )
        runs[variant] = sorted(results, key=lambda run: run.seed)
    every = list(chain.from_iterable(runs.values()))
    if every[0].world != world_fingerprint():
        raise ConfigurationError(
            f"the results in {folder} are of the world {every[0].world}, and this version of "
            f"llavit-lens has the world {world_fingerprint()}; train and evaluate the runs again"
        )
    for run in every:
        for what, mine, first in zip(_SAME, _terms(run), _terms(every[0]), strict=True):
            if mine != first:
                raise ConfigurationError(
                    f"the results in {folder} cannot be compared: {run.variant}, seed {run.seed}, "
                    f"is of another {what} than {every[0].variant}, seed {every[0].seed}; evaluate "
                    "all runs alike, into an empty folder"
                )
    return runs


_SAME = (
    *("world", "preset", "tower", "language model"),
    *("set of scenes", "benchmark", "truth", "depth"),
)


def _terms(run: RunResult) -> tuple[Any, ...]:
    """What must be the same for runs to be compared."""
    made = [run.made.get(key) for key in ("preset", "tower", "llm")]
    return (run.world, *made, run.scene_set, run.asked, run.patches, len(run.read[0]))


def answer_counts(runs: Sequence[RunResult], category: str) -> tuple[np.ndarray, np.ndarray]:
    """(right, asked) of a category of questions, each int [runs, scenes]."""
    right = np.array([run.right[category] for run in runs])
    return right, np.array([run.asked[category] for run in runs])


def patch_counts(runs: Sequence[RunResult], state: int) -> tuple[np.ndarray, np.ndarray]:
    """(patches read, patches) in a state of the residual stream, each int [runs, scenes]."""
    read = np.array([[scene[state] for scene in run.read] for run in runs])
    return read, np.array([run.patches for run in runs])


def questions_of(run: RunResult) -> Iterator[Question]:
    """The questions of a run, in its order."""
    for number in range(len(run.patches)):
        yield from benchmark_questions(sample_scene(held_out_seed(run.scene_set, number)))


def guessed(run: RunResult) -> dict[str, float]:
    """Share of the questions of each category that their words alone answer."""
    hits: dict[str, list[bool]] = {category: [] for category in CATEGORIES_OF_QUESTIONS}
    for question in questions_of(run):
        hits[question.category].append(is_guessed(question))
    return {category: float(np.mean(of_category)) for category, of_category in hits.items()}
