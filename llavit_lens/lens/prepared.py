"""What is computed once of a matrix of words, for all lenses that multiply with it.

Shape suffixes: D model width, V vocabulary.
"""

from __future__ import annotations

from threading import RLock
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from llavit_lens.lens.rounding import lengths

_ROWS = 4096
"""Words of which a float32 copy is held at once."""


class Rounded(NamedTuple):
    """The matrix in bfloat16, where it was; itself, if it is bfloat16 already."""

    weight_VD: Tensor
    lengths_V: Tensor
    lost_V: Tensor | None
    """float32, lengths of what each row loses; None: nothing is lost."""


class Prepared:
    """Lengths of the rows of a matrix [V, D], and its copy in low precision, each on first use."""

    def __init__(self, weight: Tensor) -> None:
        self._weight = weight.detach()
        self._lock = RLock()
        self._lengths_V: Tensor | None = None
        self._is_finite: bool | None = None
        self._rounded: Rounded | None = None

    @property
    def lengths_V(self) -> Tensor:
        """float32 [V], rounded up."""
        with self._lock:
            if self._lengths_V is None:
                parts = [lengths(rows.float()) for rows in self._weight.split(_ROWS)]
                self._lengths_V = torch.cat(parts)
            return self._lengths_V

    @property
    def is_finite(self) -> bool:
        """Whether the matrix holds no NaN and no infinity."""
        with self._lock:
            if self._is_finite is None:
                # lengths of finite words may overflow, too
                long = self._weight[~self.lengths_V.isfinite()]
                self._is_finite = bool(long.float().isfinite().all())
            return self._is_finite

    @property
    def rounded(self) -> Rounded:
        """In bfloat16."""
        with self._lock:
            if self._rounded is None:
                self._rounded = self._in_bfloat16()
            return self._rounded

    def _in_bfloat16(self) -> Rounded:
        if self._weight.dtype == torch.bfloat16:
            return Rounded(self._weight, self.lengths_V, None)
        weight = torch.empty_like(self._weight, dtype=torch.bfloat16)
        own, lost = [], []
        for into, rows in zip(weight.split(_ROWS), self._weight.split(_ROWS), strict=True):
            into.copy_(rows)
            own.append(lengths(into.float()))
            lost.append(lengths(rows.float() - into.float()))
        return Rounded(weight, torch.cat(own), torch.cat(lost))


class _Stamp(NamedTuple):
    """What a matrix holds, and where. Autograd counts no writes through `weight.data`, and none to
    tensors of inference mode, so every word is looked at: that costs as much as its logits of one
    state."""

    place: tuple[int, torch.dtype]
    sums_V: Tensor
    """float32, of each word's numbers times random ones."""

    @classmethod
    def of(cls, weight: Tensor) -> _Stamp:
        generator = torch.Generator("cpu").manual_seed(0)
        random = torch.rand(weight.shape[1], dtype=torch.float32, device="cpu", generator=generator)
        factors_D = (random + 0.5).to(weight.device)  # no factor hides a number
        sums = [rows.float() @ factors_D for rows in weight.detach().split(_ROWS)]
        return cls((weight.data_ptr(), weight.dtype), torch.cat(sums))

    def equals(self, other: _Stamp) -> bool:
        return self.place == other.place and torch.equal(self.sums_V, other.sums_V)


_lock = RLock()
_prepared: WeakTensorKeyDictionary = WeakTensorKeyDictionary()


def prepared_of(weight: Tensor) -> Prepared:
    """Kept as long as the tensor lives, as that of a `Readout`; made anew after a write to it."""
    stamp = _Stamp.of(weight)
    with _lock:
        known: tuple[_Stamp, Prepared] | None = _prepared.get(weight)
        if known is None or not known[0].equals(stamp):
            known = _prepared[weight] = (stamp, Prepared(weight))
        return known[1]
