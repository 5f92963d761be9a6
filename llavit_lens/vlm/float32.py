"""Products in full float32, whatever the code around has switched on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import torch

_ROUNDOFF = {"tf32": 2.0**-10, "bf16": 2.0**-8}  # TF32 may cut bits off where others round
_OF_ALL = {"highest": "ieee", "high": "tf32", "medium": "bf16"}

_lock = Lock()
_inside = 0
_restore: list[Callable[[], None]] = []


@contextmanager
def full_float32() -> Iterator[None]:
    """Inside, neither autocast nor TF32 nor bfloat16 takes part in float32 products.

    Those are a user's choice for the model's passes; the lens promises float32. Torch keeps the
    precision of products for all threads at once, so it is set by the first thread that comes and
    set back by the last that leaves.
    """
    global _inside
    kinds = {"cpu"}
    if torch.cuda.is_available():
        kinds.add("cuda")
    with ExitStack() as stack:
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, enabled=False))
        with _lock:
            if _inside == 0:
                _restore[:] = [_setter(*_precisions())]
                torch.set_float32_matmul_precision("highest")
            _inside += 1
        try:
            yield
        finally:
            with _lock:
                _inside -= 1
                if _inside == 0:
                    _restore.pop()()


def product_roundoff(device: torch.device) -> float:
    """The unit roundoff of operands of float32 products on a device, as torch is set now."""
    if torch.is_autocast_enabled(device.type):
        return unit_roundoff(torch.get_autocast_dtype(device.type))
    backends = _backends()
    if backends:
        precision = backends[device.type == "cpu"].fp32_precision
    else:  # torch before 2.9
        precision = _OF_ALL[torch.get_float32_matmul_precision()]
    return _ROUNDOFF.get(precision, unit_roundoff(torch.float32))


def unit_roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of one rounding."""
    return torch.finfo(dtype).eps / 2


def _precisions() -> tuple[str | None, list[str]]:
    """For all backends, and for each; who has set backends one by one gets no answer for all."""
    each = [backend.fp32_precision for backend in _backends()]
    try:
        return torch.get_float32_matmul_precision(), each
    except RuntimeError:
        return None, each


def _setter(together: str | None, each: list[str]) -> Callable[[], None]:
    def set_back() -> None:
        if together is not None:
            torch.set_float32_matmul_precision(together)
        for backend, precision in zip(_backends(), each, strict=True):
            backend.fp32_precision = precision

    return set_back


def _backends() -> list[Any]:
    """Of GPUs and of CPUs, where torch lets each have its own precision."""
    backends = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)
    return list(backends) if hasattr(backends[0], "fp32_precision") else []
