"""What is true of each patch, in any form in which it may be given."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Protocol

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout

WordsOfPatches = Sequence[Collection[str] | None]
"""For each visual token, in the layout's order, the true words of its patch; None: unknown."""


class KnowsTruth(Protocol):
    """An image of which the truth is known, such as a `LabelledImage`."""

    def true_words(self, layout: VisualLayout) -> WordsOfPatches: ...


Truth = WordsOfPatches | KnowsTruth


def words_of_patches(truth: Truth | None, layout: VisualLayout) -> WordsOfPatches | None:
    """The true words of each patch.

    Raises:
        ConfigurationError: they are not one entry for each patch, or of another image.
    """
    if truth is None:
        return None
    ask = getattr(truth, "true_words", None)
    words: Any = truth if ask is None else ask(layout)
    if isinstance(words, str) or not isinstance(words, Sequence):
        raise ConfigurationError(
            "truth must be a labelled image, or a list with the true words of each patch, not a "
            f"{type(truth).__name__}"
        )
    if len(words) != len(layout):
        raise ConfigurationError(f"truth has {len(words)} entries for {len(layout)} patches")
    given: WordsOfPatches = words
    return given
