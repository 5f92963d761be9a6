"""Where the view starts; if nobody says, at a telling layer and a telling patch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llavit_lens.explorer.view import UNPINNED, View

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Reading


@dataclass(frozen=True)
class Start:
    """The one answer to where the view stands, for all parts of the page.

    Attributes:
        layer: number of the layer, -1 for the input similarity.
        patch: the pinned patch; None: none is pinned.
        color, scale, labels: see `View`.
        asked_layer, asked_patch: what was asked for, corrected; None: the page chose.
        fault: what was asked for and is not there, in words.
    """

    layer: int
    patch: int | None
    color: str
    scale: str
    labels: str
    asked_layer: int | None
    asked_patch: int | None
    fault: str

    def payload(self) -> dict[str, Any]:
        """As the view in the browser takes it."""
        return {
            "slot": self.layer + 1,
            "pin": self.patch,
            "color": self.color,
            "scale": self.scale,
            "labels": self.labels,
        }


def start_of(
    view: View, depth: int, n_patches: int, layer: int, patch_at: Callable[[int], int]
) -> Start:
    """Where a view starts in a model of that many layers and patches.

    Args:
        view: what is asked for.
        depth, n_patches: of the first reading.
        layer: `opening_layer`, for a view that names none.
        patch_at: gives the `opening_patch` of a layer, for a view that names none.
    """
    faults = []
    asked_layer, asked_patch = view.layer, view.patch
    if asked_layer is not None and asked_layer > depth:
        faults.append(f"Layer {asked_layer} is not there: {depth} is the last one.")
        asked_layer = depth
    layer = min(layer, depth) if asked_layer is None else asked_layer
    if asked_patch is not None and asked_patch >= n_patches:
        faults.append(f"Patch {asked_patch} is not there: {n_patches - 1} is the last one.")
        asked_patch = None
    patch = patch_at(layer) if asked_patch is None else asked_patch
    return Start(
        layer,
        None if patch == UNPINNED else patch,
        view.color,
        view.scale,
        view.labels,
        asked_layer,
        asked_patch,
        " ".join(faults),
    )


def opening_layer(reading: Reading) -> int:
    """The layer at which the model is surest of its words: the least mean entropy."""
    entropy = reading.words.entropy
    assert entropy is not None
    shown = reading.words.layout.on_image
    return int(entropy[:, shown].mean(axis=1).argmin())


def opening_patch(reading: Reading, layer: int, difference: np.ndarray | None = None) -> int:
    """The patch where two readings differ most; of one reading, the patch whose word is both sure
    and rare: backgrounds are sure, but everywhere.

    Args:
        reading: the first one.
        layer: which layer.
        difference: float [n] at that layer (see `sides.apart_of`).
    """
    layout = reading.words.layout
    patches = np.flatnonzero((layout.tile == 0) & layout.on_image)
    if difference is not None:
        return int(patches[difference[patches].argmax()])
    tokens = reading.words.ids[layer, patches, 0].tolist()
    count = Counter(tokens)
    rarity = np.log([count[token] for token in tokens])
    return int(patches[(reading.words.values[layer, patches, 0] - rarity).argmax()])
