"""Counts of the readability measures on one image.

Shape letter: S states of the residual stream.
"""

from __future__ import annotations

import numpy as np

Key = tuple[str, int | None]
"""A measure, and the k of those that look at the first k words."""


class Tally:
    """Questions about one image, right answers, and the right answers expected by chance.

    Attributes:
        right: [S] for each measure.
        asked: number of questions of each measure.
        chance: [S], right answers expected by chance, for measures with a chance level.
        chance_asked: number of questions that `chance` is about.
    """

    def __init__(self) -> None:
        self.right: dict[Key, np.ndarray] = {}
        self.asked: dict[Key, float] = {}
        self.chance: dict[Key, np.ndarray] = {}
        self.chance_asked: dict[Key, float] = {}

    def add(
        self, key: Key, right_S: np.ndarray, asked: float, chance_S: np.ndarray | None = None
    ) -> None:
        """Add counts; `chance_S` are the right answers expected by chance, None if unknown."""
        self.right[key] = self.right.get(key, 0) + np.asarray(right_S, np.float64)
        self.asked[key] = self.asked.get(key, 0) + asked
        if chance_S is not None:
            self.chance[key] = self.chance.get(key, 0) + np.asarray(chance_S, np.float64)
            self.chance_asked[key] = self.chance_asked.get(key, 0) + asked

    def set_chance(self, key: Key, share_S: np.ndarray) -> None:
        """The share of right answers by chance, of all questions of a measure."""
        asked = self.asked[key]
        self.chance[key], self.chance_asked[key] = share_S * asked, asked
