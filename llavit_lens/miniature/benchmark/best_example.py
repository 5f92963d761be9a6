"""How well the demo models do on each example scene; people see the best one first.

    python -m llavit_lens.miniature.benchmark.best_example    # prints the table, the best one first

The rule: the captions of LLaViT and of the baseline have the fewest faults together. A fault is a
sentence that is not right, or a thing that a caption leaves out. Among equals, the top word is true
on the most patches of things, over all layers of both models.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from llavit_lens.evaluation.readability.measures import said_of_each
from llavit_lens.evaluation.readability.word_tokens import WordTokens
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.world.claims import claims, unmentioned
from llavit_lens.miniature.world.scenes import example_names, example_path, example_truth
from llavit_lens.printing import print_table
from llavit_lens.vlm.load import load
from llavit_lens.vlm.vlm import VLM

MODELS = ("demo:llavit", "demo:baseline")
MOST_TOKENS = 64


class Rank(NamedTuple):
    """One example scene.

    Attributes:
        name: of the scene.
        faults: sentences that are not right, and things that are left out, in all captions.
        hit1: share of the patches of things whose top word is true, over all layers and models.
    """

    name: str
    faults: int
    hit1: float


def ranked_examples() -> list[Rank]:
    """All example scenes, the best one first."""
    models = [load(name, device="cpu", dtype="float32") for name in MODELS]
    ranks = []
    for name in example_names():
        faults = sum(_faults(vlm, name) for vlm in models)
        hit1 = float(np.mean([_hit1(vlm, name) for vlm in models]))
        ranks.append(Rank(name, faults, hit1))
    return sorted(ranks, key=lambda rank: (rank.faults, -rank.hit1))


def _faults(vlm: VLM, name: str) -> int:
    scene = example_truth(name).scene
    caption = vlm.generate(example_path(name), DEFAULT_PROMPT, max_new_tokens=MOST_TOKENS)
    wrong = sum(claim.right is not True for claim in claims(scene, caption))
    return wrong + len(unmentioned(scene, caption))


def _hit1(vlm: VLM, name: str) -> float:
    trace, truth = vlm.trace(example_path(name)), example_truth(name)
    tokens, cells = WordTokens(vlm.tokenizer), zip(trace.layout.row, trace.layout.col, strict=True)
    things = {i: truth.thing(int(row), int(col)) for i, (row, col) in enumerate(cells)}
    true = {i: tokens.any_of(thing.words) for i, thing in things.items() if thing is not None}
    words = logit_lens(trace, k=1)
    return float(said_of_each(words.ids[:, list(true)], list(true.values())).mean())


if __name__ == "__main__":
    rows = [(name, str(faults), f"{hit1:.2f}") for name, faults, hit1 in ranked_examples()]
    print_table(("scene", "faults of both captions", "hit@1"), rows)
