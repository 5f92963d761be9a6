"""Score a model on held-out scenes: what the lens reads off patches, and how it answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.progress import track

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.readability.readability import hit_rate, truth_of_other_pictures
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.benchmark.evaluate import answers, exam_on
from llavit_lens.miniature.benchmark.guess import is_guessed
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.questions import CATEGORIES_OF_QUESTIONS
from llavit_lens.miniature.world.scenes import GRID, Truth, sample_scene
from llavit_lens.results.words import Words
from llavit_lens.vlm.vlm import VLM

K = 3
LAYER_CHOICE_SCENES = 100


def score_model(
    vlm: VLM, scenes: int = 300, seed: int = 0, progress: bool = True
) -> dict[str, Any]:
    """Readability per layer and accuracy per category, on scenes that no demo model was trained on.

    Returns {"layers": [...], "input_similarity": {...}, "accuracy": {...}, "guess": {...},
    "accuracy_of_kinds": {...}, "best_layer": {...}} with rates in [0, 1]. Layer 0 is the
    projector's output. An object patch is one that an object or sign covers by at least a quarter;
    `name` counts objects only, as a sign has no name of its own. `guess` is what the words of the
    questions alone would have got. `best_layer` was chosen by hit3 on other scenes than those that
    are scored.

    Raises ConfigurationError for fewer than two scenes (chance needs another one), or for a model
    whose visual tokens do not lie on the scenes' patch grid.
    """
    if scenes < 2:
        raise ConfigurationError(f"--scenes {scenes}: a score needs at least 2 scenes")
    layers, cosines, right = _measure(vlm, scenes, held_out_seed(seed, 0), progress)
    chosen, _, _ = _measure(
        vlm, min(scenes, LAYER_CHOICE_SCENES), held_out_seed(seed, 500_000), progress, ask=False
    )
    best = max(chosen, key=lambda row: row["hit3"])["layer"]
    return {
        "model": vlm.name,
        "scenes": scenes,
        "seed": seed,
        "layers": layers,
        "input_similarity": cosines,
        **right,
        "best_layer": next(row for row in layers if row["layer"] == best),
    }


@dataclass
class _Patches:
    """Words read off patches, grouped by what the patches show. Rows run over patches of scenes."""

    scene: list[int] = field(default_factory=list)
    truth: list[Truth] = field(default_factory=list)
    cell: list[tuple[int, int]] = field(default_factory=list)
    read: list[list[list[str]]] = field(default_factory=list)  # [patch][layer][k]

    def add(self, number: int, truth: Truth, words: Words) -> None:
        strings = words.strings
        for patch, (row, col) in enumerate(zip(words.layout.row, words.layout.col, strict=True)):
            self.scene.append(number)
            self.truth.append(truth)
            self.cell.append((int(row), int(col)))
            ids = words.ids[:, patch].tolist()
            self.read.append([[_bare(strings[i]) for i in layer] for layer in ids])

    def score(self, layer: int) -> dict[str, float | None]:
        """All rates of one layer (index into the lens' layers)."""
        things = [t.thing(*cell) for t, cell in zip(self.truth, self.cell, strict=True)]
        grounds = [t.background(*cell) for t, cell in zip(self.truth, self.cell, strict=True)]
        read = [words[layer] for words in self.read]
        on_thing = {i: thing for i, thing in enumerate(things) if thing is not None}
        on_object = {i: thing for i, thing in on_thing.items() if thing.kind == "object"}
        on_sign = {i: thing for i, thing in on_thing.items() if thing.kind == "sign"}
        on_ground = {i: words for i, words in enumerate(grounds) if words}

        def rates(name: str, true: Mapping[int, Collection[str]]) -> dict[str, float | None]:
            """Hit rates on the patches that are the keys of `true`."""
            words, truth = [read[i] for i in true], list(true.values())
            return {f"{name}{k}": hit_rate(words, truth, k) for k in (1, K)}

        def chances(name: str, true: Mapping[int, Collection[str]]) -> dict[str, float | None]:
            other = truth_of_other_pictures(list(true.values()), [self.scene[i] for i in true])
            return rates(name, dict(zip(true, other, strict=True)))

        words = {i: thing.words for i, thing in on_thing.items()}
        names = {i: thing.names for i, thing in on_object.items()}
        return {
            **rates("hit", words),
            **chances("chance", words),
            **rates("name", names),
            **chances("name_chance", names),
            **rates("sign_word", {i: {thing.word} for i, thing in on_sign.items()}),
            **rates("background", on_ground),
            "newline1": sum(words[0] == "\n" for words in read) / len(read),
        }


def _measure(
    vlm: VLM, scenes: int, first_seed: int, progress: bool, ask: bool = True
) -> tuple[list[dict], dict, dict]:
    lens, cosine = _Patches(), _Patches()
    right: dict[str, list[bool]] = defaultdict(list)
    kinds: dict[str, list[bool]] = defaultdict(list)
    guesses: dict[str, list[bool]] = defaultdict(list)
    numbers = range(scenes)
    bar = track(numbers, escape(f"scoring {vlm.name}"), console=Console(stderr=True))
    for number in bar if progress else numbers:
        exam = exam_on(sample_scene(first_seed + number))
        trace = vlm.trace(exam.picture)
        if trace.layout.grid != ((GRID, GRID),):
            raise ConfigurationError(
                f"{vlm.name} has a patch grid of {trace.layout.grid}, the scenes' truth is for "
                f"{GRID} x {GRID}; score a demo model"
            )
        words = logit_lens(trace, k=K)
        lens.add(number, exam.truth, words)
        cosine.add(number, exam.truth, input_similarity(trace, k=K))
        if ask:
            for question, answer in zip(exam.asked, answers(vlm, exam), strict=True):
                right[question.category].append(answer == question.answer)
                kinds[question.kind].append(answer == question.answer)
                guesses[question.category].append(is_guessed(question))
    layers = [{"layer": layer, **lens.score(i)} for i, layer in enumerate(words.layers)]
    asked = [c for c in CATEGORIES_OF_QUESTIONS if right[c]]
    shares = {
        "accuracy": {c: float(np.mean(right[c])) for c in asked},
        "guess": {c: float(np.mean(guesses[c])) for c in asked},
        "accuracy_of_kinds": {kind: float(np.mean(kinds[kind])) for kind in sorted(kinds)},
    }
    return layers, cosine.score(0), shares


def _bare(word: str) -> str:
    """A token's word without its leading space; whitespace tokens stay as they are."""
    return word.strip() or word
