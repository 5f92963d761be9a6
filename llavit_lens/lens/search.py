"""One word on all patches of all layers, and where it is likeliest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from llavit_lens.errors import printable
from llavit_lens.lens.follow import Tokens, cosines, log_probabilities, tokens_of
from llavit_lens.results.words import Words
from llavit_lens.vlm.trace import Trace


@dataclass(frozen=True, eq=False)
class Found:
    """Where a model has a word.

    Attributes:
        tokens: the tokens that stand for the word; with several, their probabilities are added.
        cosine: float32 [n], the largest cosine of a visual token at the input with their
            embeddings (Eq. 4).
        values: float32 [layers + 1, n], log-probabilities by the logit lens, in nats.
        on_image: bool [n], False where a patch shows only padding.
    """

    tokens: Tokens
    cosine: np.ndarray
    values: np.ndarray
    on_image: np.ndarray

    def __repr__(self) -> str:
        layer, patch = self.best
        states, n = self.values.shape
        return (
            f"Found({printable(self.tokens.word, 40)!r}, {states} states x {n} visual tokens; "
            f"likeliest at layer {layer}, patch {patch}: {np.exp(self.values[layer, patch]):.3g})"
        )

    @property
    def best(self) -> tuple[int, int]:
        """(layer, patch) on the image where the word is likeliest; at a tie the first."""
        values = np.where(self.on_image, self.values, -np.inf)
        layer, patch = np.unravel_index(int(values.argmax()), values.shape)
        return int(layer), int(patch)


def search(word: str, trace: Trace, words: Words) -> Found:
    """Follow a word through all layers and patches.

    Args:
        word: any text; see `tokens_of` for the tokens that stand for it.
        trace: states before the final norm.
        words: the logit lens of all layers of this trace.

    Raises:
        ConfigurationError: there is no word, the model has no token for any part of it, or the
            words are not those of this trace.
    """
    tokens = tokens_of(word, trace)
    values = log_probabilities(trace, words, tokens.ids)
    return Found(
        tokens,
        cosines(trace, tokens.ids).max(axis=1),
        np.minimum(np.logaddexp.reduce(values, axis=2), 0.0),
        words.layout.on_image,
    )
