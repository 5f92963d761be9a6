"""How far a logit out of a tile may lie from the true one: what a shortlist is proved by.

A product multiplies states h' and words w' that are roundings of h and w: h' = h - dh,
w' = w - dw. (In float32 nothing is rounded, and dh = dw = 0.) It sums D terms with unit roundoff u,
and may round its result once more, with unit roundoff v. Then, by Cauchy and Schwarz and for any
order of the sum,

    |product - h.w|  <=  |dh| |w| + |h'| |dw|      as h.w - h'.w' = dh.w + h'.dw
                         + g |h'| |w'|             g = D u / (1 - D u) + v (1 + D u / (1 - D u))

where |h| is a vector's length. (The sum: Higham, Accuracy and Stability of Numerical Algorithms,
2002, section 3.1; its terms sum to |h'| |w'| at most.) A factor s and a bias for each word follow
in float32, with 8 roundings at most of what they change. Then comes the model's map: a factor
stretches errors by itself, a soft cap by 1 at most, and both add 16 roundings at most of the logit
that they make.

So an error is at most factor * (|dh| p + |h'| q + r) + 16 u |logit|, with three
numbers of the word,

    p = |s| |w|        q = |s| (|dw| + (g + 8 u) |w'|)        r = 8 u |bias|

of which a tile needs the largest. Lengths are rounded up.

Shape suffixes: N states, D model width, V vocabulary, T tiles.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

_SINGLE = 2.0**-24
_UP = 1.001
"""Lengths are sums in float32: this covers what they lose."""
_UNDERFLOW = 2.0**-110
"""Products of such small numbers lose bits: a sum of D of them is off by less."""


class Arithmetic(NamedTuple):
    """How a product sums."""

    sum: float
    """Unit roundoff u of one addition."""
    result: float = 0.0
    """Unit roundoff v of the result, where it is rounded once more."""

    def share(self, width: int) -> float:
        """g + 8 u, for sums of `width` terms; infinite where so many terms prove nothing."""
        sums = width * self.sum
        if sums >= 0.5:
            return float("inf")
        sums /= 1 - sums
        return sums + self.result * (1 + sums) + 8 * _SINGLE


FLOAT32 = Arithmetic(_SINGLE)
TENSOR_CORES = Arithmetic(2.0**-23)
"""Products of bfloat16 are exact in float32; the units that sum them may cut bits off."""
ROUNDED_RESULT = Arithmetic(_SINGLE, 2.0**-8)
"""Summed in float32, then rounded to bfloat16."""


def lengths(rows: Tensor) -> Tensor:
    """float32 [N], of rows [N, D], rounded up."""
    return torch.linalg.vector_norm(rows, dim=1, dtype=torch.float32) * _UP


class WordErrors(NamedTuple):
    """p, q and r of each word, float32 [V]; or of the worst word of each tile, [T]."""

    of_rounded_states: Tensor
    of_words: Tensor
    of_bias: Tensor

    def in_tiles(self, width: int) -> WordErrors:
        """The worst word of each tile of `width` words."""
        tiles = [torch.stack([tile.amax() for tile in part.split(width)]) for part in self]
        return WordErrors(*tiles)


def word_errors(
    lengths_V: Tensor,
    rounded_lengths_V: Tensor,
    lost_V: Tensor | None,
    share: float,
    scale_V: Tensor | None,
    bias_V: Tensor | None,
) -> WordErrors:
    """The three numbers of each word.

    Args:
        lengths_V, rounded_lengths_V: |w| and |w'|.
        lost_V: |dw|; None: nothing.
        share: of the arithmetic, at this width.
        scale_V, bias_V: that follow the product.
    """
    p, q = lengths_V, share * rounded_lengths_V
    if lost_V is not None:
        q = q + lost_V
    if scale_V is not None:
        p, q = p * scale_V.float().abs(), q * scale_V.float().abs()
    r = torch.zeros_like(p) if bias_V is None else 8 * _SINGLE * bias_V.float().abs()
    return WordErrors(p, q, r + _UNDERFLOW)


@dataclass(frozen=True)
class Slack:
    """How far the logits of some states may lie from the true ones, tile by tile.

    Attributes:
        lost_N: |dh| of each state; None: nothing.
        lengths_N: |h'|.
        tiles: the worst word of each tile.
        factor: of the model's map.
    """

    lost_N: Tensor | None
    lengths_N: Tensor
    tiles: WordErrors
    factor: float

    def of(self, tile: int) -> Tensor:
        """float32 [N], of any word of this tile, but for the map's own roundings."""
        p, q, r = (part[tile] for part in self.tiles)
        return self._of(p, q, r)

    def anywhere(self) -> Tensor:
        """float32 [N], of any word."""
        p, q, r = (part.amax() for part in self.tiles)
        return self._of(p, q, r)

    def _of(self, p: Tensor, q: Tensor, r: Tensor) -> Tensor:
        slack_N = self.lengths_N * q + r
        if self.lost_N is not None:
            slack_N = slack_N + self.lost_N * p
        return slack_N * (abs(self.factor) * _UP)


def highest(logits: Tensor, slack: Tensor) -> Tensor:
    """float64: what the true logits can be at most."""
    wide = logits.double()
    return wide + slack.double() + 16 * _SINGLE * wide.abs()
