"""What a model does to its logits after the head: a scale, a soft cap, words that it bars.

Such a map keeps the order of words, but not their probabilities, so every lens needs it. One pass
tells it: what the head put out is there, and what became of it. The numbers are those that the
model's config names, and a map counts as told only if it gives the model's own logits bit for bit.
A scale between the final norm and the head is told in the same way: a linear head passes it on.

Shape letters: V vocabulary, N states, C chosen words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_SAMPLE = 256
"""Words by which most numbers of a config are ruled out."""


@dataclass(frozen=True, eq=False)
class LogitMap:
    """logits = cap * tanh(scale * x / cap), of what the head puts out, x; without the words that
    the model bars.

    Attributes:
        scale: 1 changes nothing.
        cap: None: there is none.
        barred: bool [V], words that the model never says; None: there are none.
    """

    scale: float = 1.0
    cap: float | None = None
    barred: Tensor | None = None

    def __repr__(self) -> str:
        return f"LogitMap({self.in_words() or 'the same'})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LogitMap):
            return NotImplemented
        own, others = self.barred, other.barred
        same = own is others or (
            own is not None
            and others is not None
            and own.device == others.device
            and own.equal(others)
        )
        return (self.scale, self.cap) == (other.scale, other.cap) and same

    def in_words(self) -> str:
        """`scaled by 0.25, soft cap 30, 8192 words barred`; "" if it changes nothing."""
        parts = [
            f"scaled by {self.scale:.6g}" if self.scale != 1 else "",
            f"soft cap {self.cap:g}" if self.cap is not None else "",
            f"{int(self.barred.sum())} words barred" if self.barred is not None else "",
        ]
        return ", ".join(filter(None, parts))

    def words(self, size: int) -> int:
        """How many of a vocabulary of this size can be said."""
        return size - (0 if self.barred is None else int(self.barred.sum()))

    def apply(
        self,
        logits: Tensor,
        rows: slice | Tensor = slice(None),
        barred: float = float("-inf"),
    ) -> Tensor:
        """Logits [..., C] of what the head puts out: float32, changed in place.

        Args:
            rows: the words that they are of; on the device of `barred`, where there are such words.
            barred: the logit of a word that is never said.
        """
        if self.scale != 1:
            logits *= self.scale
        if self.cap is not None:
            logits.div_(self.cap).tanh_().mul_(self.cap)
        if self.barred is not None:
            logits.masked_fill_(self.barred[rows], barred)
        return logits


def told_logit_map(raw_V: Tensor, logits_V: Tensor, config: Any) -> LogitMap | None:
    """The map from what the head put out to the model's logits; None if it cannot be told.

    Args:
        raw_V, logits_V: of one token.
        config: of the language model: its numbers are tried.
    """
    if raw_V.shape != logits_V.shape:
        return None
    raw, logits = raw_V.detach(), logits_V.detach().to(raw_V.device)
    lowest = max(torch.finfo(dtype).min for dtype in (raw.dtype, logits.dtype))
    barred, is_any = logits <= lowest, False
    if bool(barred.any()):
        is_any, raw, logits = True, raw[~barred], logits[~barred]
    for scale, cap, function in _candidates(raw, logits, config):
        if len(logits) and _gives(function, raw, logits):
            return LogitMap(scale, cap, barred if is_any else None)
    return None


_Function = Callable[[Tensor], Tensor]


def _candidates(
    raw: Tensor, logits: Tensor, config: Any
) -> Iterator[tuple[float, float | None, _Function]]:
    """(scale, cap, function) that may be the map: no change first, then a scale, then a cap."""
    yield 1.0, None, _scaled(1.0)
    numbers = numbers_of(config)
    every = max(1, len(raw) // _SAMPLE)
    some_C, wanted_C = (x[::every].double().cpu() for x in (raw, logits))
    roundings = 4 * max(torch.finfo(raw.dtype).eps, torch.finfo(logits.dtype).eps)
    scales = [1.0, *numbers, *(1 / number for number in numbers)]
    scalings = [_scaled(1.0), *map(_scaled, numbers), *map(_divided, numbers)]
    scaled_SC = torch.tensor(scales, dtype=torch.float64)[:, None] * some_C
    for cap in (None, *numbers):
        guess_SC = scaled_SC if cap is None else cap * torch.tanh(scaled_SC / cap)
        fits_S = ((guess_SC - wanted_C).abs() <= roundings * wanted_C.abs()).all(1)
        for index in fits_S.nonzero().flatten().tolist():
            scaled = scalings[index]
            yield scales[index], cap, scaled if cap is None else _capped(scaled, cap)


def _scaled(factor: float) -> _Function:
    return lambda x: x if factor == 1 else x * factor


def _divided(divisor: float) -> _Function:
    return lambda x: x / divisor


def _capped(scaled: _Function, cap: float) -> _Function:
    return lambda x: torch.tanh(scaled(x) / cap) * cap


def _gives(function: _Function, raw: Tensor, logits: Tensor) -> bool:
    """Whether a function makes these logits to the bit, before they get their dtype or after."""
    return torch.equal(function(raw).to(logits.dtype), logits) or (
        raw.dtype != logits.dtype and torch.equal(function(raw.to(logits.dtype)), logits)
    )


def numbers_of(config: Any) -> list[float]:
    """The positive numbers, but 1, that a config names."""
    values = {float(value) for value in vars(config).values() if isinstance(value, int | float)}
    return sorted(value for value in values if 0 < value < float("inf") and value != 1)
