"""States times a tile of the vocabulary, in float32 or in low precision.

Shape suffixes: N states, D model width, V vocabulary, C columns of one tile.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from llavit_lens.lens.rescoring import Vocabulary
from llavit_lens.lens.rounding import (
    FLOAT32,
    ROUNDED_RESULT,
    TENSOR_CORES,
    Arithmetic,
    Slack,
    lengths,
    word_errors,
)


class Product(Protocol):
    """What a sweep over the vocabulary multiplies with."""

    slack: Slack

    def tile(self, words: slice) -> Tensor:
        """float32 [N, C], in a buffer that the next call overwrites."""


class Buffer:
    """Memory that tile after tile is written to: fresh memory costs a page fault each 4 KB."""

    def __init__(self, like: Tensor, cells: int, dtype: torch.dtype) -> None:
        self._cells = like.new_empty(cells, dtype=dtype)

    def of(self, rows: int, columns: int) -> Tensor:
        """[rows, columns], contiguous."""
        return self._cells[: rows * columns].view(rows, columns)


class Float32Product:
    """Half-precision words are cast tile by tile; float32 ones are used as they are."""

    def __init__(self, hidden_ND: Tensor, vocabulary: Vocabulary, width: int) -> None:
        n, d = hidden_ND.shape
        self._hidden_ND, self._weight_VD = hidden_ND, vocabulary.weight
        self._logits = Buffer(hidden_ND, n * width, torch.float32)
        self._cast = None
        if self._weight_VD.dtype != torch.float32:
            self._cast = Buffer(hidden_ND, width * d, torch.float32)
        lengths_V = vocabulary.prepared.lengths_V
        share = FLOAT32.share(d)
        errors = word_errors(
            lengths_V, lengths_V, None, share, vocabulary.scale, vocabulary.bias
        ).in_tiles(width)
        self.slack = Slack(None, lengths(hidden_ND), errors, vocabulary.logit_map.scale)

    def tile(self, words: slice) -> Tensor:
        """float32 [N, C]."""
        weight_CD = self._weight_VD[words]
        if self._cast is not None:
            weight_CD = self._cast.of(*weight_CD.shape).copy_(weight_CD)
        logits_NC = self._logits.of(len(self._hidden_ND), len(weight_CD))
        return torch.mm(self._hidden_ND, weight_CD.T, out=logits_NC)


class LowProduct:
    """In bfloat16, summed in float32; on a GPU the sums are the result, on a CPU they are
    rounded to bfloat16 once more."""

    def __init__(self, hidden_ND: Tensor, vocabulary: Vocabulary, width: int) -> None:
        n, d = hidden_ND.shape
        words = vocabulary.prepared.rounded
        self._hidden_ND, self._weight_VD = hidden_ND.bfloat16(), words.weight_VD
        self._is_cuda = hidden_ND.is_cuda
        self._logits = None if self._is_cuda else Buffer(hidden_ND, n * width, torch.float32)
        self._halves = None if self._is_cuda else Buffer(hidden_ND, n * width, torch.bfloat16)
        arithmetic: Arithmetic = TENSOR_CORES if self._is_cuda else ROUNDED_RESULT
        rounded_ND = self._hidden_ND.float()
        lost_N = lengths(hidden_ND - rounded_ND)
        errors = word_errors(
            vocabulary.prepared.lengths_V,
            words.lengths_V,
            words.lost_V,
            arithmetic.share(d),
            vocabulary.scale,
            vocabulary.bias,
        ).in_tiles(width)
        self.slack = Slack(lost_N, lengths(rounded_ND), errors, vocabulary.logit_map.scale)

    def tile(self, words: slice) -> Tensor:
        """float32 [N, C]."""
        weight_CD = self._weight_VD[words]
        if self._logits is None or self._halves is None:
            return summed_in_float32(self._hidden_ND, weight_CD.T)
        size = len(self._hidden_ND), len(weight_CD)
        halves_NC = torch.mm(self._hidden_ND, weight_CD.T, out=self._halves.of(*size))
        return self._logits.of(*size).copy_(halves_NC)


def loses_nothing(hidden_ND: Tensor, weight_VD: Tensor) -> bool:
    """Whether a `LowProduct` rounds sums alone, so that its logits are as exact as float32's."""
    if not hidden_ND.is_cuda or weight_VD.dtype != torch.bfloat16:
        return False
    return hidden_ND.dtype == torch.bfloat16 or bool((hidden_ND.bfloat16() == hidden_ND).all())


def summed_in_float32(a: Tensor, b: Tensor) -> Tensor:
    """a @ b of bfloat16 matrices on a GPU, in float32.

    Raises:
        Exception: this torch, or this device, has no such product.
    """
    return torch.mm(a, b, out_dtype=torch.float32)
