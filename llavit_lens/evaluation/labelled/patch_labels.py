"""Which object each visual token shows: one rule, for every grid and any tiles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.regions import Mask

OBJECT_COVER = 0.25
"""A patch shows the object that covers the most of it, and at least this share."""

BACKGROUND, MIXED = -1, -2
"""Labels of patches that show no object."""

_ROUNDING = 1e-9  # a smaller share of a box is rounding of its edges


@dataclass(frozen=True, eq=False)
class PatchLabels:
    """What the n visual tokens of an image show.

    Attributes:
        label: int64 [n], index of an object, BACKGROUND or MIXED.
        share: float64 [objects, n], how much of each token's box an object covers.
    """

    label: np.ndarray
    share: np.ndarray

    def __repr__(self) -> str:
        objects, n = self.share.shape
        return f"PatchLabels({objects} objects, {n} visual tokens)"


def patch_labels(layout: VisualLayout, image: LabelledImage) -> PatchLabels:
    """The labels of the visual tokens, by the boxes of the layout alone (see `labels_from`).

    Padding and pixels of which nothing is known are MIXED.
    """
    share = np.zeros((len(image.objects), len(layout)))
    for i, thing in enumerate(image.objects):
        share[i] = covered(layout, thing.mask)
    touched = share.sum(0)
    if image.unknown is not None:
        touched += covered(layout, image.unknown)
    return PatchLabels(labels_from(share, layout.on_image & (touched == 0)), share)


def true_words(layout: VisualLayout, image: LabelledImage) -> list[frozenset[str] | None]:
    """For each visual token the words of the object that its patch shows; None where it shows none.

    Raises:
        ConfigurationError: the layout is of an image of another size.
    """
    if layout.image_size != image.image.size:
        raise ConfigurationError(
            f"the labelled image has {image.image.width} x {image.image.height} pixels, but the "
            f"one that was read has {layout.image_size[0]} x {layout.image_size[1]}"
        )
    label = patch_labels(layout, image).label
    return [image.objects[i].words if i >= 0 else None for i in label.tolist()]


def labels_from(share: np.ndarray, untouched: np.ndarray) -> np.ndarray:
    """int64 [n]: the object that covers the most of a patch, if that is OBJECT_COVER or more.

    A patch is BACKGROUND where nothing that is labelled touches it, and MIXED everywhere else, as
    at the edges of objects.

    Args:
        share: float64 [objects, n], the share of each patch that an object covers.
        untouched: bool [n], patches of which nothing is covered.
    """
    label = np.where(untouched, BACKGROUND, MIXED)
    if len(share):
        label = np.where(shows(share.max(0)), share.argmax(0), label)
    return label.astype(np.int64)


def shows(share: np.ndarray) -> np.ndarray:
    """bool, whether a patch shows an object that covers this share of it: OBJECT_COVER or more."""
    return share >= OBJECT_COVER - _ROUNDING


def covered(layout: VisualLayout, mask: np.ndarray) -> np.ndarray:
    """float64 [n], the share of each visual token's box that a mask covers; 0 in padding.

    Args:
        mask: bool [height, width] of the original image.
    """
    left, top, right, bottom = layout.boxes.T
    whole = (right - left) * (bottom - top)
    area = Mask(mask, orientation="upright").area(layout)
    share = np.divide(area, whole, out=np.zeros_like(area), where=layout.on_image)
    return np.where(share < _ROUNDING, 0.0, share)
