"""The result of one trained model: one small JSON file, `<variant>-seed<N>.json`.

It has the counts of every scene, so that intervals and paired differences can be computed from the
files alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from llavit_lens.disk import read_json, shown, write_text_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.world.questions import CATEGORIES_OF_QUESTIONS
from llavit_lens.miniature.world.scenes import GRID

_MOST_QUESTIONS = 10**6
"""In one scene, or of one kind: far more than the benchmark asks."""


@dataclass(frozen=True)
class RunResult:
    """What one trained model read and answered.

    Attributes:
        variant, seed: the run of `llavit-lens demo train`.
        world: fingerprint of the world it was trained and evaluated in.
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


def save_result(run: RunResult, folder: Path) -> Path:
    """Write `<variant>-seed<N>.json`, one line for each field; returns its path.

    Raises:
        ConfigurationError: the file cannot be written.
    """
    path = folder / f"{run.variant}-seed{run.seed}.json"
    lines = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in asdict(run).items()]
    write_text_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")
    return path


def load_result(path: Path) -> RunResult:
    """Read the result of one run.

    Raises:
        ConfigurationError: a file that is no result or has another name, or impossible counts.
    """
    content = read_json(path)
    names = {field.name for field in fields(RunResult)}
    if not isinstance(content, dict) or {*content} != names:
        raise ConfigurationError(
            f"{shown(path)} is no result of a run: it needs the fields {', '.join(sorted(names))}"
        )
    run = RunResult(**content)
    fault = next(_faults(run), None)
    if fault is not None:
        raise ConfigurationError(f"{shown(path)} is no result of a run: {fault}")
    if path.name != f"{run.variant}-seed{run.seed}.json":
        raise ConfigurationError(
            f"{shown(path)} holds the result of {run.variant}, seed {run.seed}: name it so, or "
            "remove it"
        )
    return run


def _faults(run: RunResult) -> Iterator[str]:
    """What is wrong with a run; its fields may have any type. Only the first fault is reported."""
    for name in ("variant", "world"):
        if not isinstance(getattr(run, name), str):
            yield f"{name} is no text"
    for name in ("seed", "scene_set"):
        if not _is_count(getattr(run, name), 10**12):
            yield f"{name} is no whole number from 0 on"
    yield from _faults_of_making(run.made)
    if not _are_counts(run.patches, GRID**2) or not run.patches:
        yield f"patches are not counts of patches, 0 to {GRID**2} of each scene"
    scenes = len(run.patches)
    for name in ("right", "asked"):
        counts = getattr(run, name)
        if not isinstance(counts, dict) or {*counts} != {*CATEGORIES_OF_QUESTIONS}:
            yield f"{name} does not have the categories {', '.join(CATEGORIES_OF_QUESTIONS)}"
        if not all(_are_counts(values, _MOST_QUESTIONS) for values in counts.values()):
            yield f"{name} does not hold counts"
        if any(len(values) != scenes for values in counts.values()):
            yield "its counts differ in length"
    for category in CATEGORIES_OF_QUESTIONS:
        if any(r > a for r, a in zip(run.right[category], run.asked[category], strict=True)):
            yield f"{category}: more right answers than questions"
        if not sum(run.asked[category]):
            yield f"{category}: no questions"
    yield from _faults_of_kinds(run)
    if not isinstance(run.read, list) or len(run.read) != scenes:
        yield "its counts differ in length"
    for states, patches in zip(run.read, run.patches, strict=True):
        if not _are_counts(states, patches) or not states:
            yield f"read is not, for each state, a count of patches: 0 to {patches} of that scene"
        if len(states) != len(run.read[0]):
            yield "its scenes differ in their number of states"


def _faults_of_making(made: Any) -> Iterator[str]:
    if not isinstance(made, dict):
        yield "made is no table"
    for name in ("preset", "machine", "precision", "tower", "llm"):
        if not isinstance(made.get(name, ""), str):
            yield f"made: {name} is no text"
    if not _is_measure(made.get("minutes", 0)):
        yield "made: minutes are no number from 0 on"
    losses = made.get("losses", {})
    if not isinstance(losses, dict) or not all(
        isinstance(parts, list) and all(map(_is_measure, parts)) for parts in losses.values()
    ):
        yield "made: losses are not lists of numbers from 0 on"


def _faults_of_kinds(run: RunResult) -> Iterator[str]:
    """Whether the counts of kinds add up to those of scenes."""
    if not isinstance(run.kinds, dict):
        yield "kinds is no table"
    for kind, counts in run.kinds.items():
        if not _are_counts(counts, _MOST_QUESTIONS) or len(counts) != 2 or counts[0] > counts[1]:
            yield f"{kind}: not two counts, right and asked"
    of_kinds = {category: [0, 0] for category in CATEGORIES_OF_QUESTIONS}
    for kind, counts in run.kinds.items():
        category = kind.split(", ")[0]
        if category not in of_kinds:
            yield f"{kind}: is of no category"
        of_kinds[category] = [a + b for a, b in zip(of_kinds[category], counts, strict=True)]
    for category, counts in of_kinds.items():
        if counts != [sum(run.right[category]), sum(run.asked[category])]:
            yield "its counts differ between kinds of questions and scenes"


def _is_count(value: Any, most: int) -> bool:
    return type(value) is int and 0 <= value <= most


def _are_counts(values: Any, most: int) -> bool:
    return isinstance(values, list) and all(_is_count(value, most) for value in values)


def _is_measure(value: Any) -> bool:
    return type(value) in (int, float) and value >= 0 and math.isfinite(value)
