"""Images of which the truth is known, where a view takes an image."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, NamedTuple

from llavit_lens.evaluation.labelled.labelled_images import LabelledImage
from llavit_lens.miniature.world.scenes import example_truth
from llavit_lens.shipped import EXAMPLE_PREFIX, example_path, sharper_path

if TYPE_CHECKING:
    from llavit_lens.images.layout import VisualLayout
    from llavit_lens.images.open import ImageSource

Truth = Sequence[Collection[str] | None]


class Known(NamedTuple):
    """What is known of an image."""

    image: ImageSource | None
    """For people: of an example scene the sharper drawing."""
    truth: Truth | None
    """For each visual token the words that are true of its patch; None: unknown."""


def known_of(image: ImageSource | None, layout: VisualLayout) -> Known:
    """Of an example scene and of a `LabelledImage` the words of each patch, of others nothing.

    Raises:
        ImageError: there is no such example scene.
    """
    if isinstance(image, str) and image.startswith(EXAMPLE_PREFIX):
        return _of_example(image.removeprefix(EXAMPLE_PREFIX), layout)
    if not isinstance(image, LabelledImage):
        return Known(image, None)
    if hasattr(image, "scene"):
        return _of_example(getattr(image, "name", ""), layout)
    from llavit_lens.evaluation.labelled.patch_labels import patch_labels

    label = patch_labels(layout, image).label.tolist()
    return Known(image, [image.objects[i].words if i >= 0 else None for i in label])


def _of_example(name: str, layout: VisualLayout) -> Known:
    path = example_path(name or None)
    truth = example_truth(path.stem)
    fits = layout.grid == (truth.patch_labels.shape,)
    cells = zip(layout.row.tolist(), layout.col.tolist(), strict=True)
    words = [truth.words(row, col) or None for row, col in cells] if fits else None
    return Known(sharper_path(path), words)
