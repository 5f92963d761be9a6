"""The miniature study: every variant, trained with several seeds, examined on the same scenes.

A run's result is one small JSON file, `<variant>-seed<N>.json`, with the counts of every scene, so
that intervals and paired differences can be computed from the files alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.corpus import held_out_seed
from llavit_lens.miniature.examine import Exam, asked_of, examine, of_category
from llavit_lens.miniature.files import write_whole
from llavit_lens.miniature.fingerprint import world_fingerprint
from llavit_lens.miniature.guess import is_guessed
from llavit_lens.miniature.questions import CATEGORIES_OF_QUESTIONS, Question
from llavit_lens.miniature.scenes import sample_scene
from llavit_lens.vlm.vlm import VLM


@dataclass(frozen=True)
class Run:
    """What one trained model read and answered.

    Attributes:
        variant, seed: which run of `llavit-lens demo train`.
        world: fingerprint of the world it was trained and examined in.
        made: how it was trained: preset, minutes, losses of each stage over equal parts of it,
            machine, precision, versions; hashes of the tower and language model that it began with.
        scene_set: number of the held-out set.
        kinds: right and asked of each kind of question, by "category, kind".
        right, asked: counts of each scene, by category.
        read: patches of things with a true word among the top 3, [states of the residual stream]
            for each scene.
        patches: patches of things, of each scene.
    """

    variant: str
    seed: int
    world: str
    made: dict[str, Any]
    scene_set: int
    kinds: dict[str, list[int]]
    right: dict[str, list[int]]
    asked: dict[str, list[int]]
    read: list[list[int]]
    patches: list[int]


def examine_run(
    vlm: VLM, variant: str, seed: int, made: dict[str, Any], exams: Iterable[Exam], scene_set: int
) -> Run:
    """Let a trained model read and answer every scene of an exam."""
    results = [examine(vlm, exam) for exam in exams]
    templates = sorted({template for result in results for template in result.asked})
    return Run(
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


def save_run(run: Run, folder: Path) -> Path:
    """Write `<variant>-seed<N>.json`, one line for each field; returns its path."""
    path = folder / f"{run.variant}-seed{run.seed}.json"
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(run).items()]
    write_whole(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def load_runs(folder: Path, variants: Sequence[str]) -> dict[str, list[Run]]:
    """The runs of some variants that a folder holds, in the order of their seeds.

    Raises:
        ConfigurationError: a file that is no result, a variant without any, or results that cannot
            be compared: of other presets, parts, worlds or scenes.
    """
    runs: dict[str, list[Run]] = {}
    for variant in variants:
        found = [load_run(path) for path in folder.glob(f"{variant}-seed*.json")]
        if not found:
            raise ConfigurationError(
                f"{folder} holds no result of {variant}; train it with --train FOLDER, or name the "
                "folder of results with --results"
            )
        runs[variant] = sorted(found, key=lambda run: run.seed)
    every = [run for own in runs.values() for run in own]
    if every[0].world != world_fingerprint():
        raise ConfigurationError(
            f"the results in {folder} are of the world {every[0].world}, and this version of "
            f"llavit-lens has the world {world_fingerprint()}; train and examine the runs anew"
        )
    for run in every:
        for what, mine, first in zip(_SAME, _terms(run), _terms(every[0]), strict=True):
            if mine != first:
                raise ConfigurationError(
                    f"the results in {folder} cannot be compared: {run.variant}, seed {run.seed}, "
                    f"is of another {what} than {every[0].variant}, seed {every[0].seed}; examine "
                    "all runs alike, into an empty folder"
                )
    return runs


_SAME = ("world", "preset", "tower", "language model", "set of scenes", "exam", "truth")


def _terms(run: Run) -> tuple[Any, ...]:
    """What must be the same for runs to be compared."""
    made = [run.made.get(key) for key in ("preset", "tower", "llm")]
    return (run.world, *made, run.scene_set, run.asked, run.patches)


def load_run(path: Path) -> Run:
    """One run's result. Raises ConfigurationError for a file that is none, or has another name."""
    try:
        run = Run(**json.loads(path.read_text()))
        scenes = {len(run.patches), len(run.read)}
        for of_category in (run.right, run.asked):
            scenes |= {len(of_category[category]) for category in CATEGORIES_OF_QUESTIONS}
        alike = all(_kinds_add_up(run, category) for category in CATEGORIES_OF_QUESTIONS)
        alike &= {kind.split(", ")[0] for kind in run.kinds} <= {*CATEGORIES_OF_QUESTIONS}
    except (OSError, AttributeError, TypeError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{path} is no result of a run: {error}") from error
    if len(scenes) > 1:
        raise ConfigurationError(f"{path} is no result of a run: its counts differ in length")
    if not alike:
        raise ConfigurationError(
            f"{path} is no result of a run: its counts differ between kinds of questions and scenes"
        )
    if path.name != f"{run.variant}-seed{run.seed}.json":
        raise ConfigurationError(
            f"{path} holds the result of {run.variant}, seed {run.seed}: name it so, or remove it"
        )
    return run


def _kinds_add_up(run: Run, category: str) -> bool:
    kinds = [counts for kind, counts in run.kinds.items() if kind.startswith(f"{category}, ")]
    scenes = [sum(run.right[category]), sum(run.asked[category])]
    return [sum(column) for column in zip(*kinds, strict=True)] == scenes


def counts(runs: Sequence[Run], category: str) -> tuple[np.ndarray, np.ndarray]:
    """(right, asked) of a category of questions, each int [runs, scenes]."""
    right = np.array([run.right[category] for run in runs])
    return right, np.array([run.asked[category] for run in runs])


def reading(runs: Sequence[Run], state: int) -> tuple[np.ndarray, np.ndarray]:
    """(patches read, patches) in a state of the residual stream, each int [runs, scenes]."""
    read = np.array([[scene[state] for scene in run.read] for run in runs])
    return read, np.array([run.patches for run in runs])


def asked_in(run: Run) -> Iterator[Question]:
    """The questions of a run's exam, in its order."""
    for number in range(len(run.patches)):
        yield from asked_of(sample_scene(held_out_seed(run.scene_set, number)))


def guessed(run: Run) -> dict[str, float]:
    """Share of the questions of each category that their words alone answer."""
    found: dict[str, list[bool]] = {category: [] for category in CATEGORIES_OF_QUESTIONS}
    for question in asked_in(run):
        found[question.category].append(is_guessed(question))
    return {category: float(np.mean(hits)) for category, hits in found.items()}
