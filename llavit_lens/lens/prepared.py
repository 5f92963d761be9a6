"""What is computed once of a matrix of words, for all lenses that multiply with it.

Shape suffixes: D model width, V vocabulary.
"""

from __future__ import annotations

from functools import cached_property
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

    @cached_property
    def lengths_V(self) -> Tensor:
        """float32 [V], rounded up."""
        with self._lock:
            return torch.cat([lengths(rows.float()) for rows in self._weight.split(_ROWS)])

    @cached_property
    def rounded(self) -> Rounded:
        """In bfloat16."""
        with self._lock:
            if self._weight.dtype == torch.bfloat16:
                return Rounded(self._weight, self.lengths_V, None)
            weight = torch.empty_like(self._weight, dtype=torch.bfloat16)
            own, lost = [], []
            for into, rows in zip(weight.split(_ROWS), self._weight.split(_ROWS), strict=True):
                into.copy_(rows)
                own.append(lengths(into.float()))
                lost.append(lengths(rows.float() - into.float()))
            return Rounded(weight, torch.cat(own), torch.cat(lost))


_lock = RLock()
_prepared: WeakTensorKeyDictionary = WeakTensorKeyDictionary()
_SAMPLE = 64
"""Rows by which a write that autograd does not see (`weight.data`) is noticed."""


def prepared_of(weight: Tensor) -> Prepared:
    """Kept as long as the tensor lives, as that of a `Readout`; made anew after a write to it."""
    if weight.is_inference():
        return Prepared(weight)  # autograd counts no writes to it
    sample = weight.detach()[:: max(1, len(weight) // _SAMPLE)]
    stamp = (weight._version, weight.data_ptr(), sample.double().abs().sum().item())
    with _lock:
        known = _prepared.get(weight)
        if known is None or known[0] != stamp:
            known = _prepared[weight] = (stamp, Prepared(weight))
        prepared: Prepared = known[1]
        return prepared
