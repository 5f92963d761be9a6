"""By which a readout is known again: in another process, on another device.

Numbers of a model come out a rounding apart on another device, or with another number of threads.
So matrices are told apart by sums, which are compared within roundings; what has none, by a hash.

Shape suffixes: V vocabulary, D model width, S sums, N states.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from threading import RLock

import numpy as np
import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from llavit_lens.vlm.float32 import full_float32, unit_roundoff
from llavit_lens.vlm.readout import Readout

_SUMS = 256
"""Of a matrix: each is of every 256th row, so that one row of many is not lost in it."""
_ROWS = 8192
"""Rows of a matrix of which a wider copy is held at once."""
_WORDS = 64
"""Words of the tokenizer that are looked at."""
_MAGNITUDES = (1e-3, 1.0, 30.0)
"""Of the states that the norm is given. The small ones show its eps."""
_OF_MATRICES, _OF_NORMS = 8.0, 16.0
"""Roundings of each number that are allowed. A matrix is as it was loaded, or is read from a head
that computes it; a norm divides all numbers of a state by one, so its roundings go one way."""
_OF_NARROW = 2.0
"""Of matrices of 16 bits: what a head computes differs in float32, so few numbers are rounded to
others."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What is kept of a readout.

    Attributes:
        words, width: of the unembedding.
        dtype: its number format, as `float32`.
        digest: sha256 of what the model does to logits, of the words that it bars, and of some
            words of the tokenizer.
        sums: of the unembedding, its bias, the embedding, and what the norm makes of given states.
    """

    words: int
    width: int
    dtype: str
    digest: str
    sums: tuple[_Sums | None, ...]

    def __repr__(self) -> str:
        return f"Fingerprint({self.shape}, {self.dtype})"

    @property
    def shape(self) -> str:
        """`32064 tokens x 4096`."""
        return f"{self.words} tokens x {self.width}"

    @classmethod
    @torch.no_grad()
    def of(cls, readout: Readout) -> Fingerprint:
        """That of a readout. Both matrices are read, once for as long as they stay the same."""
        unembedding, bias = readout.unembedding, readout.unembedding_bias
        words, width = unembedding.shape
        digest, barred = sha256(), readout.logit_map.barred
        if barred is not None:
            digest.update(barred.cpu().numpy().tobytes())
        some = torch.linspace(
            0, words - 1, min(words, _WORDS), dtype=torch.float64, device="cpu"
        ).long()
        strings = getattr(readout.tokenizer, "convert_ids_to_tokens", lambda ids: None)
        digest.update(repr((readout.logit_map.in_words(), strings(some.tolist()))).encode())
        return cls(
            words=words,
            width=width,
            dtype=str(unembedding.dtype).removeprefix("torch."),
            digest=digest.hexdigest(),
            sums=(
                _known_sums(unembedding),
                None if bias is None else _sums(bias[:, None]),
                _known_sums(readout.embedding),
                _sums(_normed(readout).T, _OF_NORMS),
            ),
        )

    def fits(self, other: Fingerprint) -> bool:
        """Whether it is of the same readout, but for roundings."""
        same = (self.words, self.width, self.dtype, self.digest)
        return same == (other.words, other.width, other.dtype, other.digest) and all(
            one is two if one is None or two is None else one.fits(two)
            for one, two in zip(self.sums, other.sums, strict=True)
        )


@dataclass(frozen=True, eq=False)
class _Sums:
    values_S: np.ndarray
    """float64; 0 where there are no rows."""
    rounding: float
    """By how much roundings may change one."""

    def fits(self, other: _Sums) -> bool:
        budget = max(self.rounding, other.rounding)
        same = np.isclose(self.values_S, other.values_S, rtol=0, atol=budget, equal_nan=True)
        return bool(same.all())


def _sums(matrix_VD: Tensor, roundings: float | None = None) -> _Sums:
    """Sums of a matrix's numbers, each number with weights of its row and its column.

    Roundings of single numbers are independent, so a sum is off by the root of their squares.
    """
    is_narrow = matrix_VD.dtype.itemsize < 4
    if roundings is None:
        roundings = _OF_NARROW if is_narrow else _OF_MATRICES
    exact = torch.float32 if is_narrow else torch.float64
    at_hand = matrix_VD.device.type in ("cpu", "cuda")  # others lack float64
    device = matrix_VD.device if at_hand else torch.device("cpu")
    column_D = _weights(matrix_VD.shape[1]).to(device, exact)
    with full_float32():
        tiles = [
            (tile.detach().to(device, exact) @ column_D).double().cpu()
            for tile in matrix_VD.split(_ROWS)
        ]
    rows_V = torch.cat(tiles) * _weights(len(matrix_VD))
    rows_V = torch.nn.functional.pad(rows_V, (0, -len(rows_V) % _SUMS))
    each = rows_V.view(-1, _SUMS)
    spread = float(each.square().sum() / min(len(matrix_VD), _SUMS)) ** 0.5
    return _Sums(each.sum(0).numpy(), roundings * unit_roundoff(matrix_VD.dtype) * spread)


def _weights(count: int) -> Tensor:
    """float64 [count], between 1 and 2, of either sign: the same everywhere and always."""
    places = torch.arange(1, count + 1, dtype=torch.float64, device="cpu").square()
    spread = 2 * torch.frac(places * ((5**0.5 - 1) / 2)) - 1
    return spread + torch.where(spread < 0, -1.0, 1.0)


def _normed(readout: Readout) -> Tensor:
    """[N, D]: the norm's output shows all that is in it, also weights that lie on a disk."""
    states_D = _weights(readout.unembedding.shape[1])
    states_ND = torch.stack([size * states_D for size in _MAGNITUDES])
    table = readout.embedding
    return readout.normed(states_ND.to(table.device, table.dtype))


_lock = RLock()
_known: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def _known_sums(matrix_VD: Tensor) -> _Sums:
    """Kept as long as the matrix lives; made anew after a write to it."""
    stamp = matrix_VD.data_ptr(), _bits(matrix_VD)
    with _lock:
        known, sums = _known.get(matrix_VD, (None, None))
        if known != stamp or sums is None:
            sums = _sums(matrix_VD)
            _known[matrix_VD] = stamp, sums
        return sums


def _bits(matrix_VD: Tensor) -> int:
    """The sum of its bits, read as whole numbers: for a twentieth of what `_sums` costs, it shows
    writes that autograd does not count (`weight.data`), but for rows that change places."""
    rows = matrix_VD.detach().contiguous()
    sizes = len(rows) and rows[0].nbytes, rows.storage_offset() * rows.itemsize
    kinds = (torch.int64, torch.int32, torch.int16)
    fitting = (kind for kind in kinds if not any(size % kind.itemsize for size in sizes))
    return int(rows.view(next(fitting, torch.uint8)).sum())
