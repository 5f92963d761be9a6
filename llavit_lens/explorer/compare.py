"""Where two readings of the same picture differ most."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.lens.follow import cosines, own_log_probabilities
from llavit_lens.lens.token_strings import token_strings

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Reading
    from llavit_lens.vlm.layout import VisualLayout


def difference(a: Reading, b: Reading) -> np.ndarray:
    """How far two readings disagree, at each slot and patch of `a`: float32 [slots, n], 0 to 1.

    With w_a and w_b the top words of a patch: half of (p_a(w_a) - p_b(w_a)) + (p_b(w_b) -
    p_a(w_b)), how much likelier each finds its own word than the other does. 0: they say the same;
    1: each is certain of a word that the other rules out. Slot 0 is the input similarity, with
    cosines in place of p; slot l + 1 is layer l. A patch of `a` is held against the patch of `b`
    that lies nearest on the picture; a layer against the one at the same share of the depth.
    """
    partner = partners(a.words.layout, b.words.layout)
    own = _Side(a, np.arange(len(a.words.layout)), np.arange(a.depth + 1))
    layers = np.rint(np.arange(a.depth + 1) * (b.depth / max(1, a.depth))).astype(int)
    other = _Side(b, partner, layers)
    rows = [(own.cosine(), other.cosine()), (own.probability(), other.probability())]
    theirs_of_own = other.cosine_of(own), other.probability_of(own)
    own_of_theirs = own.cosine_of(other), own.probability_of(other)
    parts = [
        (mine - cross_b + theirs - cross_a) / 2
        for (mine, theirs), cross_b, cross_a in zip(rows, theirs_of_own, own_of_theirs, strict=True)
    ]
    return np.clip(np.concatenate(parts), 0, 1).astype(np.float32)


def partners(a: VisualLayout, b: VisualLayout) -> np.ndarray:
    """int64 [n of a]: for each patch of `a` the one of `b`, of the same kind of tile, that is
    nearest to it on the picture."""
    found = np.zeros(len(a), np.int64)
    kinds = (b.tile == 0, b.tile > 0)
    for kind, own in enumerate((a.tile == 0, a.tile > 0)):
        candidates = np.flatnonzero(kinds[kind] if kinds[kind].any() else kinds[0])
        centers = _centers(b.boxes[candidates])
        for chunk in np.array_split(np.flatnonzero(own), max(1, own.sum() // 512)):
            apart = _centers(a.boxes[chunk])[:, None] - centers[None]
            found[chunk] = candidates[(apart**2).sum(2).argmin(1)] if len(chunk) else 0
    return found


def _centers(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


class _Side:
    """One reading, seen through the patches and layers of the first one."""

    def __init__(self, reading: Reading, patches: np.ndarray, layers: np.ndarray) -> None:
        self.reading, self.patches, self.layers = reading, patches, layers
        self.table = token_strings(reading.trace.tokenizer)

    def top(self) -> np.ndarray:
        """int64 [layers, n], top words by the logit lens."""
        return self.reading.words.ids[self.layers[:, None], self.patches[None], 0]

    def nearest(self) -> np.ndarray:
        """int64 [1, n], top words by cosine."""
        return self.reading.similarity.ids[:, self.patches, 0]

    def probability(self) -> np.ndarray:
        values = self.reading.words.values[self.layers[:, None], self.patches[None], 0]
        return np.exp(values)

    def cosine(self) -> np.ndarray:
        return self.reading.similarity.values[:, self.patches, 0]

    def probability_of(self, other: _Side) -> np.ndarray:
        """What this reading gives to the top words of the other."""
        ids = self._translated(other.top(), other)
        found = own_log_probabilities(
            self.reading.trace, self.reading.words, ids, self.layers.tolist(), self.patches.tolist()
        )
        return np.exp(found)

    def cosine_of(self, other: _Side) -> np.ndarray:
        ids = self._translated(other.nearest(), other)[0]
        unique, index = np.unique(ids, return_inverse=True)
        values = cosines(self.reading.trace, np.maximum(unique, 0).tolist())
        own = values[self.patches, index]
        return np.where(ids < 0, 0.0, own)[None]

    def _translated(self, ids: np.ndarray, other: _Side) -> np.ndarray:
        """The other's ids as this model's; -1 for words that it does not have."""
        if self.table is other.table or self.table == other.table:
            return ids
        places = {text: token for token, text in reversed(list(enumerate(self.table)))}
        unique, index = np.unique(ids, return_inverse=True)
        known = [places.get(other.table[t], -1) if t < len(other.table) else -1 for t in unique]
        return np.array(known, np.int64)[index].reshape(ids.shape)
