"""The arithmetic of the readability measures, on arrays alone.

Shape letters: S states of the residual stream, N visual tokens of an image, K words kept.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

import numpy as np


def said_within(top_SNK: np.ndarray, ids: Collection[int]) -> np.ndarray:
    """bool [S, N, K]: one of the tokens `ids` is among the first 1, 2, …, K words."""
    return np.logical_or.accumulate(np.isin(top_SNK, list(ids)), axis=2)


def said_of_each(top_SNK: np.ndarray, ids_N: Sequence[frozenset[int]]) -> np.ndarray:
    """bool [S, N, K]: as `said_within`, with other tokens for each visual token."""
    said_SNK = np.zeros(top_SNK.shape, bool)
    visual: dict[frozenset[int], list[int]] = defaultdict(list)
    for i, ids in enumerate(ids_N):
        visual[ids].append(i)
    for ids, where in visual.items():
        said_SNK[:, where] = said_within(top_SNK[:, where], ids)
    return said_SNK


def average_precision(scores_SN: np.ndarray, positive_N: np.ndarray) -> np.ndarray:
    """float64 [S]: mean over the positives of the precision at their ranks, highest score first.

    Equal scores share a rank, so that a constant score has the share of positives.
    """
    precision = np.empty(len(scores_SN))
    for state, scores in enumerate(scores_SN):
        order = np.argsort(-scores, kind="stable")
        ranked, right = scores[order], positive_N[order].cumsum()
        last = np.flatnonzero(np.append(ranked[1:] != ranked[:-1], True))  # of equal scores
        gained = np.diff(right[last], prepend=0)
        precision[state] = (gained * right[last] / (last + 1)).sum() / right[-1]
    return precision


def chance_of_average_precision(positives: int, all_of_them: int) -> float:
    """The mean average precision of all orders of `all_of_them` tokens.

    A little above the share of positives, as the first rank is right that often and later ones
    are counted only where they are right: ((P - 1) / (N - 1) (N - H_N) + H_N) / N, H_N the N-th
    harmonic number.
    """
    n = all_of_them
    harmonic = float((1 / np.arange(1, n + 1)).sum())
    others = (positives - 1) / (n - 1) if n > 1 else 0.0
    return (others * (n - harmonic) + harmonic) / n


def ahead(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """float64: 1 where a > b, 0.5 where they are equal."""
    return np.where(a == b, 0.5, a > b)


def log_prob_of(ids: Collection[int], log_p: Mapping[int, np.ndarray]) -> np.ndarray:
    """Log-probability that any of the tokens is said; `log_p` of each token, [S, N]."""
    return np.logaddexp.reduce([log_p[token] for token in sorted(ids)], axis=0)
