"""Where a view starts by default: at a layer and a patch that show something."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from llavit_lens.results.words import Words


def nearest_read(words: Words, layer: int) -> int:
    """The number of the layer that was read and is nearest to `layer`."""
    return min(words.layers, key=lambda number: abs(number - layer))


def telling_patch(words: Words, layer: int, difference: np.ndarray | None = None) -> int:
    """The patch where two readings differ most; of one reading, the patch with a word that is both
    sure and rare: words of backgrounds are sure, but everywhere.

    Args:
        words: of the first pane.
        layer: its number.
        difference: float [n] at that layer.
    """
    patches = words.layout.cells_drawn()
    patches = patches[words.layout.on_image[patches]]
    if difference is not None:
        return int(patches[difference[patches].argmax()])
    row = words.layers.index(layer)
    tokens = words.ids[row, patches, 0].tolist()
    count = Counter(tokens)
    log_count = np.log([count[token] for token in tokens])
    return int(patches[(words.values[row, patches, 0] - log_count).argmax()])
