"""Where the view starts: at the layer and patch of the link, or at ones that show something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from llavit_lens.explorer.view import UNPINNED, View

if TYPE_CHECKING:
    from llavit_lens.explorer.lens_cache import LensResult


@dataclass(frozen=True)
class Start:
    """Where the view starts, the same for all parts of the page.

    Attributes:
        layer: number of the layer, -1 for the input similarity.
        patch: the pinned patch; None: none is pinned.
        view: what the page is to show, with layers and patches that are not there corrected.
        fault: what of the view was not there, in words; "" if nothing.
    """

    layer: int
    patch: int | None
    view: View
    fault: str = ""

    def payload(self) -> dict[str, Any]:
        """As the view in the browser takes it."""
        return {
            "slot": self.layer + 1,
            "pin": self.patch,
            "color": self.view.color,
            "scale": self.view.scale,
            "labels": self.view.labels,
        }


def start_of(
    view: View,
    depth: int,
    n_patches: int,
    layer_of_page: int,
    patch_of_page: Callable[[int], int],
) -> Start:
    """Where a view starts in a model of `depth` layers and `n_patches` patches.

    Args:
        view: what the page is to show.
        depth, n_patches: of the first result.
        layer_of_page: `default_layer`, for a view that names none.
        patch_of_page: gives the `default_patch` of a layer, for a view that names none.
    """
    faults = []
    if view.layer is not None and view.layer > depth:
        faults.append(f"Layer {view.layer} is not there: {depth} is the last one.")
        view = replace(view, layer=depth)
    if view.patch is not None and view.patch >= n_patches:
        faults.append(f"Patch {view.patch} is not there: {n_patches - 1} is the last one.")
        view = replace(view, patch=None)
    layer = min(layer_of_page, depth) if view.layer is None else view.layer
    patch = patch_of_page(layer) if view.patch is None else view.patch
    return Start(layer, None if patch == UNPINNED else patch, view, " ".join(faults))


def default_layer(result: LensResult) -> int:
    """The layer at which the model is surest of its words: the least mean entropy."""
    entropy = result.words.entropy
    assert entropy is not None
    on_image = result.words.layout.on_image
    return int(entropy[:, on_image].mean(axis=1).argmin())


def default_patch(result: LensResult, layer: int, difference: np.ndarray | None = None) -> int:
    """The patch where two results differ most; of one result, the patch with a word that is both
    sure and rare: words of backgrounds are sure, but everywhere.

    Args:
        result: the first one.
        layer: which layer.
        difference: float [n] at that layer (see `panes.difference_of`).
    """
    layout = result.words.layout
    patches = np.flatnonzero((layout.tile == 0) & layout.on_image)
    if difference is not None:
        return int(patches[difference[patches].argmax()])
    tokens = result.words.ids[layer, patches, 0].tolist()
    count = Counter(tokens)
    log_count = np.log([count[token] for token in tokens])
    return int(patches[(result.words.values[layer, patches, 0] - log_count).argmax()])
