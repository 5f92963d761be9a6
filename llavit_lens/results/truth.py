"""What is true of each patch, in any form in which it may be given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import pixel_sha256

if TYPE_CHECKING:
    from llavit_lens.results.words import Words

WordsOfPatches = Sequence[Collection[str] | None]
"""For each visual token, in the layout's order, the true words of its patch; None: unknown."""


class KnowsTruth(Protocol):
    """An image of which the truth is known, such as a `LabelledImage`."""

    def true_words(self, layout: VisualLayout) -> WordsOfPatches: ...


Truth = WordsOfPatches | KnowsTruth


def words_of_patches(truth: Truth | None, words: Words) -> WordsOfPatches | None:
    """The true words of each patch of which `words` were read.

    Raises:
        ConfigurationError: they are not one entry for each patch, or of another image.
    """
    if truth is None:
        return None
    ask = getattr(truth, "true_words", None)
    true: Any = truth if ask is None else ask(words.layout)
    if isinstance(true, str) or not isinstance(true, Sequence):
        raise ConfigurationError(
            "truth must be a labelled image, or a list with the true words of each patch, not a "
            f"{type(truth).__name__}"
        )
    if len(true) != len(words.layout):
        raise ConfigurationError(f"truth has {len(true)} entries for {len(words.layout)} patches")
    image, digest = getattr(truth, "image", None), words.provenance.get("image_sha256")
    if digest and isinstance(image, Image.Image) and pixel_sha256(image) != digest:
        raise ConfigurationError(
            "truth is of another image than the one that was read (their pixels differ)"
        )
    given: WordsOfPatches = true
    return given


def words_of_each(truth: Truth | None, readings: Sequence[Words]) -> list[WordsOfPatches | None]:
    """The true words of the patches of each reading. A list is of the patches of the first, so
    nothing is known of a reading whose patches lie elsewhere.

    Raises:
        ConfigurationError: as `words_of_patches`.
    """
    first = readings[0].layout
    return [
        words_of_patches(truth, words)
        if hasattr(truth, "true_words") or words is readings[0] or _same(words.layout, first)
        else None
        for words in readings
    ]


def _same(a: VisualLayout, b: VisualLayout) -> bool:
    return a.image_size == b.image_size and np.array_equal(a.boxes, b.boxes)
