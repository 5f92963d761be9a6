"""One picture, read by the logit lens and counted for every measure of readability.

Shape letters: S states of the residual stream, N visual tokens of a picture, K words kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from llavit_lens.evaluation.labelled.images import BACKGROUND, Owners
from llavit_lens.evaluation.readability.measures import (
    ahead,
    average_precision,
    chance_of_average_precision,
    log_prob_of,
    said_within,
)
from llavit_lens.evaluation.readability.spoken import Ids, Spoken

Key = tuple[str, int | None]
"""A measure, and the k of those that look at the first k words."""


class Tally:
    """Counts of one picture: what was right, of what was asked, and what chance would have."""

    def __init__(self) -> None:
        self.right: dict[Key, np.ndarray] = {}
        self.asked: dict[Key, float] = {}
        self.lucky: dict[Key, np.ndarray] = {}
        self.drawn: dict[Key, float] = {}

    def add(
        self, key: Key, right_S: np.ndarray, asked: float, lucky_S: np.ndarray | None = None
    ) -> None:
        """Add counts; `lucky_S` is what chance would have had right, None if nobody knows."""
        self.right[key] = self.right.get(key, 0) + np.asarray(right_S, np.float64)
        self.asked[key] = self.asked.get(key, 0) + asked
        if lucky_S is not None:
            self.lucky[key] = self.lucky.get(key, 0) + np.asarray(lucky_S, np.float64)
            self.drawn[key] = self.drawn.get(key, 0) + asked


class Reading:
    """The first K words of every visual token of a picture, and whose the tokens are.

    Args:
        top_SNK: int64, ids of the words, best first.
        owners: whose the tokens are.
        spoken: what is true of each object.
        ks: the k to count.
    """

    def __init__(
        self, top_SNK: np.ndarray, owners: Owners, spoken: Sequence[Spoken], ks: Sequence[int]
    ) -> None:
        self.tally = Tally()
        self.spoken, self.ks = list(spoken), list(ks)
        owner = owners.owner
        self.patches = [int((owner == i).sum()) for i in range(len(spoken))]
        self.present: Ids = frozenset().union(*(thing.words for thing in spoken))
        self._places = {
            "hit": np.isin(owner, [i for i, thing in enumerate(spoken) if thing.words]),
            "name": np.isin(owner, [i for i, thing in enumerate(spoken) if thing.name]),
            "leak_object": owner >= 0,
            "leak_background": owner == BACKGROUND,
        }
        self._top_SNK, self._owners = top_SNK, owners
        self._counted: dict[Ids, dict[str, np.ndarray]] = {}
        self._luck: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(1))
        self._weight: dict[str, float] = defaultdict(float)
        self._count_words()

    def _count_words(self) -> None:
        """Hits, names and leaks."""
        owner = self._owners.owner
        right: dict[str, np.ndarray] = {}
        asked: dict[str, int] = defaultdict(int)

        def add(measure: str, said_SNK: np.ndarray, where: np.ndarray) -> None:
            counted = said_SNK[:, where].sum(1)
            right[measure] = right[measure] + counted if measure in right else counted
            asked[measure] += int(where.sum())

        for i, thing in enumerate(self.spoken):
            own = owner == i
            if thing.words:
                add("hit", said_within(self._top_SNK, thing.words), own)
            if not thing.name:
                continue
            said = said_within(self._top_SNK, thing.name)
            add("name", said, own)
            # where the name is true of the other as well, it is no leak
            foreign = [j for j, other in enumerate(self.spoken) if not thing.name & other.words]
            add("leak_object", said, np.isin(owner, foreign))
            add("leak_background", said, owner == BACKGROUND)
        for measure, right_SK in right.items():
            for k in self.ks:
                self.tally.add((measure, k), right_SK[:, k - 1], asked[measure])

    def compare(self, other: Reading) -> None:
        """Take the objects of another picture as the truth of this one: chance."""
        for thing, patches in zip(other.spoken, other.patches, strict=True):
            if thing.words:
                self._try("hit", thing.words, patches)
            if thing.name:
                self._try("name", thing.name, patches)
            if thing.name and not thing.name & self.present:
                self._try("leak_object", thing.name, 1)
                self._try("leak_background", thing.name, 1)

    def _try(self, measure: str, ids: Ids, weight: float) -> None:
        asked = int(self._places[measure].sum())
        if asked == 0 or weight == 0:
            return
        if ids not in self._counted:
            said = said_within(self._top_SNK, ids)
            self._counted[ids] = {
                name: said[:, where].sum(1) for name, where in self._places.items()
            }
        self._luck[measure] = self._luck[measure] + weight * self._counted[ids][measure] / asked
        self._weight[measure] += weight

    def close(self) -> None:
        """After the last comparison: chance goes into the tally, and the words are let go."""
        for measure, luck_SK in self._luck.items():
            share_SK = luck_SK / self._weight[measure]
            for k in self.ks:
                if asked := self.tally.asked.get((measure, k), 0):
                    self.tally.lucky[measure, k] = share_SK[:, k - 1] * asked
                    self.tally.drawn[measure, k] = asked
        del self._top_SNK, self._counted


def count_localisation(
    tally: Tally, owners: Owners, spoken: Sequence[Spoken], log_p: dict[int, np.ndarray]
) -> None:
    """Does log p(name) put the tokens of what is called so before all others of the picture?

    One question for each name in a picture. Tokens that show the object in a small part, and those
    of other things of which the word is true too, are on neither side.
    """
    owner = owners.owner
    for name in {thing.name for thing in spoken if thing.name}:
        own = [i for i, thing in enumerate(spoken) if thing.name == name]
        other = [i for i, thing in enumerate(spoken) if not thing.words & name]
        positive = np.isin(owner, own)
        negative = np.isin(owner, [*other, BACKGROUND]) & (owners.share[own].sum(0) == 0)
        asked = positive | negative
        if not positive.any() or not negative.any():
            continue
        scores = log_prob_of(name, log_p)[:, asked]
        chance = chance_of_average_precision(int(positive.sum()), int(asked.sum()))
        found = average_precision(scores, positive[asked])
        tally.add(("localisation", None), found, 1, np.full(len(found), chance))


def count_binding(
    tally: Tally, owners: Owners, spoken: Sequence[Spoken], log_p: dict[int, np.ndarray]
) -> None:
    """Of two objects' colors (traits, …), is each one's own the likelier on its own tokens?

    One question for each pair of objects and kind of attribute that they differ in. The value is
    the mean of the two objects' shares of tokens, so that a word that is likelier everywhere has
    exactly one half.
    """
    for a, b in combinations(range(len(spoken)), 2):
        on_a, on_b = owners.owner == a, owners.owner == b
        if not on_a.any() or not on_b.any():
            continue
        for kind, word_a in spoken[a].attributes.items():
            word_b = spoken[b].attributes.get(kind, frozenset())
            if not word_a or not word_b or word_a & word_b:
                continue
            right = ahead(log_prob_of(word_a, log_p), log_prob_of(word_b, log_p))
            value = (right[:, on_a].mean(1) + (1 - right[:, on_b]).mean(1)) / 2
            tally.add((f"binding_{kind}", None), value, 1, np.full(len(value), 0.5))
