"""How far the loading of a model is.

    with watching(lambda step, done, total: ...):
        ll.load("owner/name")

Progress bars on the terminal stay what they are, but for the code inside `watching`: there, `watch`
is called instead.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from tqdm import tqdm
from transformers.utils.logging import set_tqdm_hook

from llavit_lens.steps import BUILD, DOWNLOAD

Watch = Callable[[str, int, int], None]
"""Is called with a step of `llavit_lens.steps`, how much of it is done, and of how much; 0 of 0
where that is unknown. Files are fetched in several threads, so it may be called from any of
them."""

_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Inside, in this thread, `watch` is called while a model is loaded."""
    before = _watch.set(watch)
    try:
        yield
    finally:
        _watch.reset(before)


def report(step: str, done: int = 0, total: int = 0) -> None:
    """Call the watch, if there is one."""
    if (watch := _watch.get()) is not None:
        watch(step, done, total)


def download_bar() -> type[tqdm] | None:
    """The class of bars for huggingface_hub's `tqdm_class`; None, for its own, without a watch."""
    watch = _watch.get()
    return None if watch is None else _bar(DOWNLOAD, watch)


@contextmanager
def weights_bar() -> Iterator[None]:
    """Inside, transformers' bars over weights call the watch, if there is one."""
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
    """A class of bars that call `watch` instead of being drawn."""

    class Bar(tqdm):
        monitor_interval = 0  # no thread that looks after bars that are not drawn

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # of a download the bytes count, not the files
            self._counts = step != DOWNLOAD or kwargs.get("unit") == "B"
            super().__init__(*args, **kwargs | {"file": io.StringIO(), "disable": False})

        def display(self, msg: str | None = None, pos: int | None = None) -> bool:
            if self._counts:
                watch(step, int(self.n), int(self.total or 0))
            return True

    return Bar
