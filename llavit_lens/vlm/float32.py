"""Products in full float32, whatever the code around has switched on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock
from typing import Any

import torch

_ROUNDOFF = {"tf32": 2.0**-10, "bf16": 2.0**-8}  # TF32 may cut bits off where others round
_OF_ALL = {"highest": "ieee", "high": "tf32", "medium": "bf16"}

_lock = Lock()
_inside = 0
_users: list[tuple[str | None, list[str]]] = []
"""Torch's own settings, while some thread is inside."""


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
                _users[:] = [_precisions()]
                torch.set_float32_matmul_precision("highest")
            _inside += 1
        try:
            yield
        finally:
            with _lock:
                _inside -= 1
                if _inside == 0:
                    _set(*_users.pop())


def product_roundoff(device: torch.device) -> float:
    """The unit roundoff of operands of float32 products on a device, as the user has set torch."""
    if torch.is_autocast_enabled(device.type):
        return unit_roundoff(torch.get_autocast_dtype(device.type))
    with _lock:
        together, each = _users[0] if _users else _precisions()
    # torch before 2.9 has one setting for all backends
    precision = each[device.type == "cpu"] if each else _OF_ALL[together or "highest"]
    return _ROUNDOFF.get(precision, unit_roundoff(torch.float32))


def unit_roundoff(dtype: torch.dtype) -> float:
    """The largest relative error of one rounding."""
    return torch.finfo(dtype).eps / 2


def _precisions() -> tuple[str | None, list[str]]:
    """For all backends, and for each; None for all where a user has set them one by one."""
    each = [backend.fp32_precision for backend in _backends()]
    try:
        return torch.get_float32_matmul_precision(), each
    except RuntimeError:
        return None, each


def _set(together: str | None, each: list[str]) -> None:
    if together is not None:
        torch.set_float32_matmul_precision(together)
    for backend, precision in zip(_backends(), each, strict=True):
        backend.fp32_precision = precision


def _backends() -> list[Any]:
    """Of GPUs and of CPUs, where torch lets each have its own precision."""
    backends = torch.backends.cuda.matmul, getattr(torch.backends.mkldnn, "matmul", None)
    return list(backends) if hasattr(backends[0], "fp32_precision") else []
