"""The words that come first at any layer of a token, and their values at all layers.

Which words these are follows from the ids that a lens kept, and so do some of their values. Both
are told here, once: for the lens that makes leaders, and for the check of those in a file.

Shape letters: L layers, N tokens, K kept words, U leaders.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Leaders(NamedTuple):
    """The words that come first at any layer, followed through all layers: others for each token.

    A token has U at most, in the order in which they come to lead; where it has fewer, the rest of
    its row is filled.
    """

    ids: np.ndarray
    """int64 [n, U]; filled with -1."""
    values: np.ndarray
    """float32 [layers, n, U], log-probabilities; filled with -inf."""

    def __repr__(self) -> str:
        n_layers, n, most = self.values.shape
        return f"Leaders(1 to {most} words of each of {n} tokens, {n_layers} layers)"


def leading_ids(first_LN: np.ndarray) -> np.ndarray:
    """int64 [N, U]: the distinct words of each token in the order of layers, filled with -1.

    Args:
        first_LN: ids of the words that come first.
    """
    is_new_LN = np.array([(first_LN[:i] != first_N).all(0) for i, first_N in enumerate(first_LN)])
    place_LN = is_new_LN.cumsum(0) - 1
    _, n = first_LN.shape
    ids_NU = np.full((n, int(place_LN.max(initial=0)) + 1), -1, np.int64)
    _, tokens = is_new_LN.nonzero()
    ids_NU[tokens, place_LN[is_new_LN]] = first_LN[is_new_LN]
    return ids_NU


def agreed(
    values_LNU: np.ndarray, leading_NU: np.ndarray, ids_LNK: np.ndarray, kept_LNK: np.ndarray
) -> np.ndarray:
    """Values of leaders that agree with those of the k best words; float32 [L, N, U].

    A leader that is among the k best has the value that it has there; another one has none above
    theirs, as the last bits of another product might say.

    Args:
        values_LNU: of the leaders.
        leading_NU: their ids, see `leading_ids`.
        ids_LNK, kept_LNK: the k best words and their values, best first.
    """
    out_LNU = np.empty_like(values_LNU)
    for layer, (ids_NK, kept_NK) in enumerate(zip(ids_LNK, kept_LNK, strict=True)):
        is_NUK = leading_NU[:, :, None] == ids_NK[:, None, :]
        values_NU = np.take_along_axis(kept_NK, is_NUK.argmax(2), 1)
        others_NU = np.minimum(values_LNU[layer], kept_NK[:, -1:])
        out_LNU[layer] = np.where(is_NUK.any(2), values_NU, others_NU)
    out_LNU[:, leading_NU < 0] = -np.inf
    return out_LNU
