"""Where the view starts if nobody says: a telling layer and a telling patch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Reading


def opening_layer(reading: Reading) -> int:
    """The layer at which the model is surest of its words: the least mean entropy."""
    entropy = reading.words.entropy
    assert entropy is not None
    shown = reading.words.layout.on_picture
    return int(entropy[:, shown].mean(axis=1).argmin())


def opening_patch(reading: Reading, layer: int, difference: np.ndarray | None = None) -> int:
    """The patch where two readings differ most; of one reading, the patch whose word is both sure
    and rare: backgrounds are sure, but everywhere.

    Args:
        reading: the first one.
        layer: which layer.
        difference: float [n] at that layer (see `compare`).
    """
    layout = reading.words.layout
    patches = np.flatnonzero((layout.tile == 0) & layout.on_picture)
    if difference is not None:
        return int(patches[difference[patches].argmax()])
    tokens = reading.words.ids[layer, patches, 0].tolist()
    count = Counter(tokens)
    rarity = np.log([count[token] for token in tokens])
    return int(patches[(reading.words.values[layer, patches, 0] - rarity).argmax()])
