"""How far the loading of a model is, for whoever waits for it.

    with watching(lambda step, done, total: ...):
        ll.load("owner/name")

Bars on the terminal stay what they are; where somebody watches, theirs are drawn instead.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm
from transformers.utils.logging import set_tqdm_hook

Watch = Callable[[str, int, int], None]
"""Is called with a step such as "Downloading", how much of it is done, and of how much; 0 of 0
where nobody knows. Files are fetched in several threads, so it may be called from any of them."""

DOWNLOAD, READ, BUILD = "Downloading", "Reading the weights", "Building the model"
"""The steps: bytes, bytes, and weights."""

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Inside, in this thread, `watch` hears how far the loading of a model is."""
    before = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(before)


def tell(step: str, done: int = 0, total: int = 0) -> None:
    """So much is done."""
    if (watch := _watch.get()) is not None:
        watch(step, done, total)


def download_bar() -> type[tqdm] | None:
    """The bar for huggingface_hub's `tqdm_class`; None, for its own, where nobody watches."""
    watch = _watch.get()
    return None if watch is None else _bar(DOWNLOAD, watch)


@contextmanager
def weights_bar() -> Iterator[None]:
    """Inside, transformers' bars over weights are told of, where somebody watches."""
    watch = _watch.get()
    if watch is None:
        yield
        return
    bar = _bar(BUILD, watch)
    before = set_tqdm_hook(lambda factory, args, kwargs: bar(*args, **kwargs))
    try:
        yield
    finally:
        set_tqdm_hook(before)


def _bar(step: str, watch: Watch) -> type[tqdm]:
    """A bar that tells instead of being drawn."""

    class Bar(tqdm):
        monitor_interval = 0  # no thread that watches over bars nobody draws

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # of a download the bytes count, not the files
            self._counts = step != DOWNLOAD or kwargs.get("unit") == "B"
            super().__init__(*args, **kwargs | {"file": io.StringIO(), "disable": False})

        def display(self, msg: str | None = None, pos: int | None = None) -> bool:
            if self._counts:
                watch(step, int(self.n), int(self.total or 0))
            return True

    return Bar
