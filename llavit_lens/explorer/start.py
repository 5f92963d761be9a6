"""Where the view starts: at the layer and patch of the link, or at ones that show something."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from llavit_lens.explorer.view import UNPINNED, View


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
        layer_of_page: `surest_layer`, for a view that names none.
        patch_of_page: gives the `telling_patch` of a layer, for a view that names none.
    """
    faults = []
    if view.layer is not None and view.layer > depth:
        faults.append(f"No layer {view.layer}: this is layer {depth}, the last.")
        view = replace(view, layer=depth)
    if view.patch is not None and view.patch >= n_patches:
        faults.append(f"No patch {view.patch}: the last is {n_patches - 1}.")
        view = replace(view, patch=None)
    layer = min(layer_of_page, depth) if view.layer is None else view.layer
    patch = patch_of_page(layer) if view.patch is None else view.patch
    return Start(layer, None if patch == UNPINNED else patch, view, " ".join(faults))
