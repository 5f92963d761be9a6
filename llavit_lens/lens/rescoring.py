"""Logits of chosen words, as every path of the lens puts them in order.

Shape suffixes: N states, D model width, V vocabulary, M chosen words of each state, P pairs of a
state and a word.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from llavit_lens.lens.prepared import Prepared, prepared_of
from llavit_lens.vlm.logit_map import LogitMap

BARRED = -1e30
"""The logit of a word that is never said: its exp is 0, and sums of it are finite."""
_CELLS, _CELLS_ON_GPU = 1 << 20, 1 << 22
"""Float64 numbers that are held at once: as many as a CPU's cache holds; more where each step
waits to be started."""


@dataclass(frozen=True)
class Vocabulary:
    """What makes logits of states: weight [V, D], bias [V], scale [V], and the model's map."""

    weight: Tensor
    bias: Tensor | None
    scale: Tensor | None
    logit_map: LogitMap

    def __len__(self) -> int:
        return len(self.weight)

    @cached_property
    def prepared(self) -> Prepared:
        """Of the weight. That it is still the same is looked at once: make one of these a call."""
        return prepared_of(self.weight)

    def finish(self, products: Tensor, words: slice | Tensor) -> Tensor:
        """Logits of the products of states and words, in place.

        Args:
            products: [N, C] of a slice of words, or [N, M] of words [N, M].
        """
        if self.scale is not None:
            products *= self.scale[words].to(products.dtype)
        if self.bias is not None:
            products += self.bias[words].to(products.dtype)
        return self.logit_map.apply(products, words, BARRED)


def rescored(hidden_ND: Tensor, vocabulary: Vocabulary, ids_NM: Tensor) -> Tensor:
    """float32 [N, M]: logits of float32 states and weights, in float64, rounded once.

    A float32 product of a tile may differ from that of another tile in its last bits: the order in
    which it sums follows from the tile's shape. Here each sum runs over D numbers in float64, so
    the order of words depends on nothing but states and weights, and equal rows of the
    unembedding tie.
    """
    n, m = ids_NM.shape
    width, cells = hidden_ND.shape[1], _cells(hidden_ND)
    words = max(1, min(m, cells // max(1, width)))
    rows = max(1, min(n, cells // max(1, words * width)))
    products = hidden_ND.new_empty(n, m, dtype=torch.float64)
    for start in range(0, n, rows):
        some = slice(start, start + rows)
        states_N1D = hidden_ND[some, None].double()
        for first in range(0, m, words):
            ids = ids_NM[some, first : first + words]
            picked_PD = vocabulary.weight.index_select(0, ids.flatten()).float().double()
            terms = picked_PD.view(*ids.shape, width).mul_(states_N1D)
            products[some, first : first + words] = terms.sum(-1)
    return vocabulary.finish(products, ids_NM).float()


def rescored_pairs(
    hidden_ND: Tensor, vocabulary: Vocabulary, rows_P: Tensor, ids_P: Tensor
) -> Tensor:
    """float32 [P]: the same of single pairs, of the state in a row and a word each."""
    products_P = hidden_ND.new_empty(len(rows_P), dtype=torch.float64)
    size = max(1, _cells(hidden_ND) // max(1, hidden_ND.shape[1]))
    parts = (part.split(size) for part in (products_P, rows_P, ids_P))
    for into, rows, ids in zip(*parts, strict=True):
        terms = vocabulary.weight.index_select(0, ids).float().double()
        into.copy_(terms.mul_(hidden_ND.index_select(0, rows).double()).sum(-1))
    return vocabulary.finish(products_P, ids_P).float()


def _cells(like: Tensor) -> int:
    return _CELLS_ON_GPU if like.is_cuda else _CELLS


def in_order(logits_NM: Tensor, ids_NM: Tensor, k: int) -> Tensor:
    """int64 [N, K], the places of the k best of each row: by falling logit, then by rising id."""
    by_id = ids_NM.argsort(dim=1)
    by_logit = logits_NM.gather(1, by_id).argsort(dim=1, descending=True, stable=True)
    return by_id.gather(1, by_logit[:, :k])
