"""Which way a lens multiplies with the vocabulary: in float32, or by a low-precision shortlist."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor

from llavit_lens.lens.prepared import Prepared
from llavit_lens.lens.products import summed_in_float32

Precision = Literal["auto", "exact"]
Path = Literal["fast", "exact"]

_WORTH_IT = 1 << 32
"""Multiplications below which neither path takes long enough to measure them."""
_ROWS, _WORDS = {"cpu": 128, "cuda": 512}, {"cpu": 1024, "cuda": 4096}
"""Of the products that are measured: small, as they stand beside the tiles."""
_GAIN = 1.5
"""How much faster a low-precision product has to be, to pay for rescoring and proofs."""

_forced: Path | None = None
_measured: dict[tuple[torch.device, torch.dtype, int, int], bool] = {}


@contextmanager
def forced(path: Path) -> Iterator[None]:
    """Inside, `precision="auto"` takes this path: for tests and benchmarks, in one thread."""
    global _forced
    before, _forced = _forced, path
    try:
        yield
    finally:
        _forced = before


def fast_pays(hidden: Tensor, weight: Tensor) -> bool:
    """Whether the fast path is the faster one: measured once for each device, dtype and class of
    shapes, on products of random numbers."""
    if _forced is not None:
        return _forced == "fast"
    (n, d), v = hidden.shape, len(weight)
    if n * d * v < _WORTH_IT or n < 16 or hidden.device.type not in _ROWS:
        return False
    key = hidden.device, weight.dtype, d.bit_length(), min(n, 1024).bit_length()
    if key not in _measured:
        rows, words = min(n, _ROWS[hidden.device.type]), min(v, _WORDS[hidden.device.type])
        try:
            _measured[key] = _is_faster(rows, words, d, hidden.device, weight.dtype)
        except torch.OutOfMemoryError:
            return False  # of now: it is measured at another call
    return _measured[key]


def copy_fits(prepared: Prepared) -> bool:
    """Whether there is memory for the matrix in low precision, which is made here."""
    try:
        _ = prepared.rounded
    except RuntimeError as error:
        # on a CPU it is a plain RuntimeError
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            return False
        raise
    return True


def _is_faster(rows: int, words: int, width: int, device: torch.device, dtype: torch.dtype) -> bool:
    generator = torch.Generator(device).manual_seed(0)

    def random(size: int) -> Tensor:
        return torch.randn(size, width, device=device, dtype=torch.float32, generator=generator)

    a, b = random(rows), random(words)
    low_a, low_b = a.bfloat16(), b.bfloat16()
    stored = b.to(dtype)
    multiply = summed_in_float32 if device.type == "cuda" else torch.mm
    try:
        low = _seconds(lambda: multiply(low_a, low_b.T), device)
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError):  # no such product in this torch, or on this device
        return False
    return low * _GAIN < _seconds(lambda: torch.mm(a, stored.float().T), device)


def _seconds(work: Callable[[], Tensor], device: torch.device) -> float:
    """The shortest of three runs, after one to warm up."""
    times = []
    for _ in range(4):
        start = time.perf_counter()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
