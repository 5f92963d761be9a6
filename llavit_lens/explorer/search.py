"""One word on all patches of all layers: a heat map, and where it is likeliest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from llavit_lens.explorer.payload import as_text, cosine_codes, log_probability_codes
from llavit_lens.figures.legible import printable
from llavit_lens.lens.follow import cosines, log_probabilities, tokens_of

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Reading
    from llavit_lens.lens.follow import Tokens


@dataclass(frozen=True, eq=False)
class Found:
    """Where a model has a word.

    Attributes:
        tokens: the tokens that stand for the word; with several, their probabilities are added.
        cosine: float32 [n], the largest cosine of a visual token at the input with them.
        values: float32 [layers + 1, n], log-probabilities.
    """

    tokens: Tokens
    cosine: np.ndarray
    values: np.ndarray

    @property
    def best(self) -> tuple[int, int]:
        """(layer, patch) where the word is likeliest; of equals the first."""
        layer, patch = np.unravel_index(int(self.values.argmax()), self.values.shape)
        return int(layer), int(patch)


def search(reading: Reading, word: str) -> Found:
    """Follow a word that somebody typed.

    Raises:
        ConfigurationError: there is no word, or the model has no token for any part of it.
    """
    tokens = tokens_of(word, reading.trace)
    values = log_probabilities(reading.trace, reading.words, tokens.ids)
    return Found(
        tokens,
        cosines(reading.trace, tokens.ids).max(axis=1),
        np.minimum(np.logaddexp.reduce(values, axis=2), 0.0),
    )


def sentence(found: Found, reading: Reading, title: str) -> str:
    """What was found, in plain words."""
    layer, patch = found.best
    layout = reading.words.layout
    share = float(np.exp(found.values[layer, patch]))
    row, col, tile = (int(axis[patch]) for axis in (layout.row, layout.col, layout.tile))
    where = f"row {row}, column {col}" + (f", tile {tile}" if len(layout.grid) > 1 else "")
    text = f"{title}: likeliest at layer {layer} of {reading.depth}, {where}: {_percent(share)}."
    if found.tokens.pieces:
        pieces = " · ".join(printable(piece) for piece in found.tokens.pieces)
        first = printable(found.tokens.texts[0])
        text += (
            f" It is {len(found.tokens.pieces)} tokens here ({pieces}); the first, “{first}”, is "
            "followed."
            if len(found.tokens.pieces) > 1
            else f" It is followed as the token “{first}”."
        )
    return text


def moving_payload(
    word: str, found: list[tuple[str, Reading, Found]] | None
) -> dict[str, Any] | None:
    """The search as the view draws it."""
    if not found:
        return None
    panes = []
    for title, reading, each in found:
        layer, patch = each.best
        codes = np.concatenate(
            [cosine_codes(each.cosine)[None], log_probability_codes(each.values)]
        )
        panes.append(
            {
                "values": as_text(codes),
                "slot": layer + 1,
                "patch": patch,
                "text": sentence(each, reading, title),
            }
        )
    return {"word": printable(word.strip()), "panes": panes}


def _percent(share: float) -> str:
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.2g}" if share < 1e-5 else f"{share:.2%}"
