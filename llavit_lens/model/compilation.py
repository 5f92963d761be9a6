"""Compiled code runs without the hooks that were set after it was compiled.

So, as long as hooks or interventions are to act, compiled modules run as the plain Python that they
were compiled from.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import Lock
from typing import Any

import torch

from llavit_lens.errors import ConfigurationError

_lock = Lock()
_outer: list[Any] = []
"""One for each open `uncompiled`; the first restores the stance that torch had before."""


@contextmanager
def uncompiled() -> Iterator[None]:
    """Inside, all that torch compiled, or would compile, runs uncompiled, in all threads.

    Holds for `model.compile()`, `torch.compile(model)`, compiled layers, and the steps of a
    generation that transformers compiles by itself. May be left in any order.

    Raises:
        ConfigurationError: opened by code that is itself compiled.
    """
    with _lock:
        try:
            _outer.append(torch.compiler.set_stance("force_eager"))
        except RuntimeError as error:
            raise ConfigurationError(
                "an intervention or hook was opened by a function that torch compiled, where it "
                "cannot act; do not compile the function that opens it."
            ) from error
    try:
        yield
    finally:
        with _lock:
            first = _outer[0]
            _outer.pop()
            if not _outer:
                first.__exit__(None, None, None)


def compiled_kernel() -> AbstractContextManager[None]:
    """Inside, a kernel that is one compiled function runs compiled, within `uncompiled` too.

    There are no hooks in a kernel, and it would be another computation without its compiler:
    flex_attention would write out all scores.
    """
    return _as_before(_outer[0]) if _outer else nullcontext()


@contextmanager
def _as_before(first: Any) -> Iterator[None]:
    with _lock:
        first.__exit__(None, None, None)
    try:
        yield
    finally:
        with _lock:
            torch.compiler.set_stance("force_eager")
