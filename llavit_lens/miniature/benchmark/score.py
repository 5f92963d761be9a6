"""Score a model on held-out scenes: what the lens reads off patches, and how it answers."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.readability.measures import said_of_each
from llavit_lens.evaluation.readability.word_tokens import WordTokens
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.benchmark.evaluate import answers, benchmark_scene
from llavit_lens.miniature.benchmark.guess import is_guessed
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.questions import CATEGORIES_OF_QUESTIONS
from llavit_lens.miniature.world.scenes import GRID, Truth, sample_scene
from llavit_lens.printing import progress_bar
from llavit_lens.results.words import Words
from llavit_lens.vlm.vlm import VLM

K = 3
LAYER_CHOICE_SCENES = 100

Fact = TypeVar("Fact")


def score_model(
    vlm: VLM, scenes: int = 300, seed: int = 0, progress: bool = True
) -> dict[str, Any]:
    """Readability per layer and accuracy per category, on scenes that no demo model was trained on.

    Returns {"layers": [...], "input_similarity": {...}, "accuracy": {...}, "guess": {...},
    "accuracy_of_kinds": {...}, "best_layer": {...}} with rates in [0, 1]. Layer 0 is the
    projector's output. An object patch is one that an object or sign covers by at least a quarter;
    `name` counts objects only, as a sign has no name of its own. `guess` is the score of the words
    of the questions alone. `best_layer` was chosen by hit3 on other scenes than those that
    are scored.

    Raises ConfigurationError for fewer than two scenes (chance needs another one), or for a model
    with another patch grid than the scenes.
    """
    if scenes < 2:
        raise ConfigurationError(f"--scenes {scenes}: a score needs at least 2 scenes")
    scored: Iterable[int] = range(scenes)
    if progress:
        scored = progress_bar(scored, f"scoring {vlm.name}")
    layers, cosines, right = _measure(vlm, scored, held_out_seed(seed, 0))
    others: Iterable[int] = range(min(scenes, LAYER_CHOICE_SCENES))
    if progress:
        others = progress_bar(others, "choosing its best layer on other scenes")
    candidates, _, _ = _measure(vlm, others, held_out_seed(seed, 500_000), ask=False)
    best = max(candidates, key=lambda row: row["hit3"])["layer"]
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
    """Words read off patches, grouped by what the patches show.

    Shape letters: S states, N patches of all scenes, K words.
    """

    tokens: WordTokens
    scene: list[int] = field(default_factory=list)
    truth: list[Truth] = field(default_factory=list)
    cell: list[tuple[int, int]] = field(default_factory=list)
    top: list[np.ndarray] = field(default_factory=list)
    is_newline: list[np.ndarray] = field(default_factory=list)

    def add(self, number: int, truth: Truth, words: Words) -> None:
        cells = list(zip(words.layout.row.tolist(), words.layout.col.tolist(), strict=True))
        self.scene += [number] * len(cells)
        self.truth += [truth] * len(cells)
        self.cell += cells
        self.top.append(words.ids)
        newlines = [token for token, text in words.strings.items() if text == "\n"]
        self.is_newline.append(np.isin(words.ids[:, :, 0], newlines))

    def score(self) -> list[dict[str, float | None]]:
        """All rates, one table for each state."""
        patches = list(zip(self.truth, self.cell, strict=True))
        things = {i: truth.thing(*cell) for i, (truth, cell) in enumerate(patches)}
        on_thing = {i: thing for i, thing in things.items() if thing is not None}
        words = {i: thing.words for i, thing in on_thing.items()}
        names = {i: thing.names for i, thing in on_thing.items() if thing.kind == "object"}
        signs = {i: frozenset({t.word}) for i, t in on_thing.items() if t.kind == "sign"}
        grounds = {i: truth.background(*cell) for i, (truth, cell) in enumerate(patches)}
        top_SNK = np.concatenate(self.top, axis=1)
        columns = {
            **self._rates("hit", top_SNK, words),
            **self._rates("chance", top_SNK, self._of_other_scenes(words)),
            **self._rates("name", top_SNK, names),
            **self._rates("name_chance", top_SNK, self._of_other_scenes(names)),
            **self._rates("sign_word", top_SNK, signs),
            **self._rates("background", top_SNK, {i: w for i, w in grounds.items() if w}),
            "newline1": np.concatenate(self.is_newline, axis=1).mean(1).tolist(),
        }
        return [{name: rates[s] for name, rates in columns.items()} for s in range(len(top_SNK))]

    def _rates(
        self, name: str, top_SNK: np.ndarray, truth: Mapping[int, frozenset[str]]
    ) -> dict[str, list[Any]]:
        """Hit rates at 1 and K of each state, on the patches that are the keys of `truth`."""
        if not truth:
            return {f"{name}{k}": [None] * len(top_SNK) for k in (1, K)}
        ids = [self.tokens.any_of(words) for words in truth.values()]
        said_SNK = said_of_each(top_SNK[:, list(truth)], ids)
        return {f"{name}{k}": said_SNK[:, :, k - 1].mean(1).tolist() for k in (1, K)}

    def _of_other_scenes(self, truth: Mapping[int, Fact]) -> dict[int, Fact]:
        other = truth_of_other_scenes(list(truth.values()), [self.scene[i] for i in truth])
        return dict(zip(truth, other, strict=True))


def truth_of_other_scenes(truth: Sequence[Fact], scene: Sequence[int], seed: int = 0) -> list[Fact]:
    """For each patch, the truth of a random patch of another scene, drawn with replacement: chance.

    Args:
        scene: number of the scene of each patch.
        seed: fixed, so that scores can be repeated.

    Raises:
        ConfigurationError: all patches are of one scene.
    """
    if len(set(scene)) < 2:
        raise ConfigurationError("chance needs patches of at least two scenes")
    rng = random.Random(seed)
    other = []
    for number in scene:
        j = rng.randrange(len(truth))
        while scene[j] == number:
            j = rng.randrange(len(truth))
        other.append(truth[j])
    return other


def _measure(
    vlm: VLM, numbers: Iterable[int], first_seed: int, ask: bool = True
) -> tuple[list[dict], dict, dict]:
    tokens = WordTokens(vlm.tokenizer)
    lens, cosine = _Patches(tokens), _Patches(tokens)
    right: dict[str, list[bool]] = defaultdict(list)
    kinds: dict[str, list[bool]] = defaultdict(list)
    guesses: dict[str, list[bool]] = defaultdict(list)
    for number in numbers:
        scene = benchmark_scene(sample_scene(first_seed + number))
        trace = vlm.trace(scene.image)
        if trace.layout.grid != ((GRID, GRID),):
            raise ConfigurationError(
                f"{vlm.name} has a patch grid of {trace.layout.grid}, the scenes' truth is for "
                f"{GRID} x {GRID}; score a demo model"
            )
        words = logit_lens(trace, k=K)
        lens.add(number, scene.truth, words)
        cosine.add(number, scene.truth, input_similarity(trace, k=K))
        if ask:
            for question, answer in zip(scene.questions, answers(vlm, scene), strict=True):
                right[question.category].append(answer == question.answer)
                kinds[question.kind].append(answer == question.answer)
                guesses[question.category].append(is_guessed(question))
    layers = [
        {"layer": layer, **rates} for layer, rates in zip(words.layers, lens.score(), strict=True)
    ]
    categories = [c for c in CATEGORIES_OF_QUESTIONS if right[c]]
    shares = {
        "accuracy": {c: float(np.mean(right[c])) for c in categories},
        "guess": {c: float(np.mean(guesses[c])) for c in categories},
        "accuracy_of_kinds": {kind: float(np.mean(kinds[kind])) for kind in sorted(kinds)},
    }
    return layers, cosine.score()[0], shares
