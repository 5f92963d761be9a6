"""Where two readings disagree, by what they hold: their likeliest words."""

from __future__ import annotations

import numpy as np

from llavit_lens.results.matching import matched_layer, partners
from llavit_lens.results.words import Words


def difference_of_words(a: Words, b: Words) -> np.ndarray:
    """As `lens.difference`, without the models: a word that is not among the other's k words counts
    as ruled out there, so the result is too high by at most half of the other's k-th value.

    A layer is held against the one at the same share of the depth or, if that was not read, the
    nearest that was.

    Args:
        a, b: of one kind of lens.

    Returns:
        float32 [layers of a, n of a], 0 to 1.
    """
    depths = [words.provenance.get("n_layers") or max(words.layers) for words in (a, b)]
    layers_b = np.array(b.layers)
    patches = partners(a.layout, b.layout)
    ids_a, ids_b = _common_ids(a, b)
    shares_a, shares_b = _shares(a), _shares(b)
    rows = []
    for row, layer in enumerate(a.layers):
        other = int(np.abs(layers_b - matched_layer(layer, *depths)).argmin())
        this, that = (
            (ids[at], shares[at])
            for ids, shares, at in (
                (ids_a, shares_a, (row,)),
                (ids_b, shares_b, (other, patches)),
            )
        )
        apart = this[1][:, 0] - _share_of(this, that) + that[1][:, 0] - _share_of(that, this)
        rows.append(np.clip(apart / 2, 0, 1))
    return np.array(rows, np.float32)


def _common_ids(a: Words, b: Words) -> tuple[np.ndarray, np.ndarray]:
    """int64 as `Words.ids`, the same number for the same word: the ids themselves if both models
    have one vocabulary, as far as these words show; otherwise numbers of texts."""
    shared = a.strings.keys() & b.strings.keys()
    if shared and all(b.strings[token] == a.strings[token] for token in shared):
        return a.ids, b.ids
    numbers: dict[str, int] = {}
    both = []
    for words in (a, b):
        present, index = np.unique(words.ids, return_inverse=True)
        texts = [words.strings[token] for token in present.tolist()]
        own = np.array([numbers.setdefault(text, len(numbers)) for text in texts], np.int64)
        both.append(own[index].reshape(words.ids.shape))
    return both[0], both[1]


def _shares(words: Words) -> np.ndarray:
    return np.exp(words.values) if words.kind == "logit_lens" else words.values


def _share_of(
    one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """float [n]: what the top words of one have in the other; 0 if they are not among its words.

    Args:
        one, other: numbers and shares of words, [n, k] each.
    """
    same = other[0] == one[0][:, :1]
    return np.where(same, other[1], 0).max(axis=1)
