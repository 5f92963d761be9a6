"""Which layer and which patches of one model fit those of another."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from llavit_lens.images.layout import VisualLayout

Layer = TypeVar("Layer", int, np.ndarray)


def matched_layer(layer: Layer, depth: int, other: int) -> Layer:
    """The layer at the same share of the depth in another model; ties go to the later layer.

    Args:
        layer: a layer, or an array of layers, from 0 to `depth`.
        depth, other: last layers of the model and of the other one.
    """
    depth = max(1, depth)
    return (2 * layer * other + depth) // (2 * depth)  # floor(x + 1/2), as in static/linked.js


def partners(a: VisualLayout, b: VisualLayout) -> np.ndarray:
    """int64 [n of a]: for each patch of `a` the one of `b` that is nearest to it on the image:
    of the same kind of tile (the whole image or a part of it, as far as `b` has both) and not
    padding.

    Raises:
        ConfigurationError: a layout without a map.
    """
    a.check_map()
    b.check_map()
    nearest = np.zeros(len(a), np.int64)
    for in_detail in (False, True):
        is_kind = a.in_detail == in_detail
        same = b.on_image & (b.in_detail == in_detail)
        candidates = np.flatnonzero(same if same.any() else b.on_image)
        centers = _centers(b.boxes[candidates])
        for chunk in np.array_split(np.flatnonzero(is_kind), max(1, is_kind.sum() // 512)):
            apart = _centers(a.boxes[chunk])[:, None] - centers[None]
            nearest[chunk] = candidates[(apart**2).sum(2).argmin(1)] if len(chunk) else 0
    return nearest


def _centers(boxes: np.ndarray) -> np.ndarray:
    return (boxes[:, :2] + boxes[:, 2:]) / 2
