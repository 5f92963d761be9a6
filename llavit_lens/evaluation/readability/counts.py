"""The words of one image, counted for the readability measures.

Shape letters: S states of the residual stream, N visual tokens of an image, K words kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from llavit_lens.evaluation.labelled.patch_labels import BACKGROUND, PatchLabels
from llavit_lens.evaluation.readability.measures import (
    ahead,
    average_precision,
    chance_of_average_precision,
    log_prob_of,
    said_within,
)
from llavit_lens.evaluation.readability.tally import Tally
from llavit_lens.evaluation.readability.word_tokens import Ids, ObjectTokens


class ImageCounts:
    """Counts from the first K words of every visual token of an image.

    Args:
        top_SNK: int64, ids of the words, best first.
        labels: what the visual tokens show.
        objects: the tokens of the words that are true of each object.
        ks: the numbers of words to count.
    """

    def __init__(
        self,
        top_SNK: np.ndarray,
        labels: PatchLabels,
        objects: Sequence[ObjectTokens],
        ks: Sequence[int],
    ) -> None:
        self.tally = Tally()
        self.objects, self.ks = list(objects), list(ks)
        label = labels.label
        self.patches = [int((label == i).sum()) for i in range(len(objects))]
        self.present: Ids = frozenset().union(*(thing.words for thing in objects))
        self._where = {
            "hit": np.isin(label, [i for i, thing in enumerate(objects) if thing.words]),
            "name": np.isin(label, [i for i, thing in enumerate(objects) if thing.name]),
            "leak_object": label >= 0,
            "leak_background": label == BACKGROUND,
        }
        self._top_SNK, self._labels = top_SNK, labels
        self._counts_of: dict[Ids, dict[str, np.ndarray]] = {}
        self._chance: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(1))
        self._weight: dict[str, float] = defaultdict(float)
        self._count_words()

    def _count_words(self) -> None:
        """Hits, names and leaks."""
        label = self._labels.label
        right: dict[str, np.ndarray] = {}
        asked: dict[str, int] = defaultdict(int)

        def add(measure: str, said_SNK: np.ndarray, where: np.ndarray) -> None:
            counts = said_SNK[:, where].sum(1)
            right[measure] = right[measure] + counts if measure in right else counts
            asked[measure] += int(where.sum())

        for i, thing in enumerate(self.objects):
            on_thing = label == i
            if thing.words:
                add("hit", said_within(self._top_SNK, thing.words), on_thing)
            if not thing.name:
                continue
            said = said_within(self._top_SNK, thing.name)
            add("name", said, on_thing)
            # where the name is true of the other object as well, it is no leak
            others = [j for j, other in enumerate(self.objects) if not thing.name & other.words]
            add("leak_object", said, np.isin(label, others))
            add("leak_background", said, label == BACKGROUND)
        for measure, right_SK in right.items():
            for k in self.ks:
                self.tally.add((measure, k), right_SK[:, k - 1], asked[measure])

    def compare(self, other: ImageCounts) -> None:
        """Take the objects of another image as the truth of this one: chance."""
        for thing, patches in zip(other.objects, other.patches, strict=True):
            if thing.words:
                self._add_chance("hit", thing.words, patches)
            if thing.name:
                self._add_chance("name", thing.name, patches)
            if thing.name and not thing.name & self.present:
                self._add_chance("leak_object", thing.name, 1)
                self._add_chance("leak_background", thing.name, 1)

    def _add_chance(self, measure: str, ids: Ids, weight: float) -> None:
        asked = int(self._where[measure].sum())
        if asked == 0 or weight == 0:
            return
        if ids not in self._counts_of:
            said = said_within(self._top_SNK, ids)
            self._counts_of[ids] = {
                name: said[:, where].sum(1) for name, where in self._where.items()
            }
        counts_SK = self._counts_of[ids][measure]
        self._chance[measure] = self._chance[measure] + weight * counts_SK / asked
        self._weight[measure] += weight

    def close(self) -> None:
        """After the last comparison: chance goes into the tally, and the words are freed."""
        for measure, chance_SK in self._chance.items():
            share_SK = chance_SK / self._weight[measure]
            for k in self.ks:
                if self.tally.asked.get((measure, k), 0):
                    self.tally.set_chance((measure, k), share_SK[:, k - 1])
        del self._top_SNK, self._counts_of


def count_localisation(
    tally: Tally,
    labels: PatchLabels,
    objects: Sequence[ObjectTokens],
    log_p: dict[int, np.ndarray],
) -> None:
    """Does log p(name) rank the tokens of what is called so before all others of the image?

    One question for each name in an image. Tokens that show the object in a small part, and those
    of other objects of which the word is true too, are on neither side.
    """
    label = labels.label
    for name in {thing.name for thing in objects if thing.name}:
        same = [i for i, thing in enumerate(objects) if thing.name == name]
        others = [i for i, thing in enumerate(objects) if not thing.words & name]
        positive = np.isin(label, same)
        negative = np.isin(label, [*others, BACKGROUND]) & (labels.share[same].sum(0) == 0)
        ranked = positive | negative
        if not positive.any() or not negative.any():
            continue
        scores = log_prob_of(name, log_p)[:, ranked]
        chance = chance_of_average_precision(int(positive.sum()), int(ranked.sum()))
        precision = average_precision(scores, positive[ranked])
        tally.add(("localisation", None), precision, 1, np.full(len(precision), chance))


def count_binding(
    tally: Tally,
    labels: PatchLabels,
    objects: Sequence[ObjectTokens],
    log_p: dict[int, np.ndarray],
) -> None:
    """Of two objects' colors (traits, …), is the right one the likelier on each object's tokens?

    One question for each pair of objects and kind of attribute that they differ in. The value is
    the mean of the two objects' shares of tokens, so that a word that is likelier everywhere has
    exactly one half.
    """
    for a, b in combinations(range(len(objects)), 2):
        on_a, on_b = labels.label == a, labels.label == b
        if not on_a.any() or not on_b.any():
            continue
        for kind, word_a in objects[a].attributes.items():
            word_b = objects[b].attributes.get(kind, frozenset())
            if not word_a or not word_b or word_a & word_b:
                continue
            right = ahead(log_prob_of(word_a, log_p), log_prob_of(word_b, log_p))
            value = (right[:, on_a].mean(1) + (1 - right[:, on_b]).mean(1)) / 2
            tally.add((f"binding_{kind}", None), value, 1, np.full(len(value), 0.5))
