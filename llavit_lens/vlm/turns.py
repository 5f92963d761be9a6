"""One thread at a time: passes of a model wait for each other, and what is open in one thread does
not act in another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock, RLock, Thread, current_thread
from typing import Any
from weakref import WeakKeyDictionary

from torch import nn

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.families import decoder_of
from llavit_lens.vlm.pass_inputs import PassInputs

_PATIENCE = 1.0
"""Seconds between checks that the thread that holds the lock is still alive."""


class Owner:
    """The thread, and in it the asyncio task, that opened something."""

    def __init__(self) -> None:
        self._thread, self._task = current_thread(), _task()

    def is_here(self) -> bool:
        """Not in any other thread, nor in another task while the owner's task is running."""
        if current_thread() is not self._thread:
            return False
        return self._task in (None, _task()) or self._task.done()

    def check_here(self) -> None:
        """Raise ConfigurationError unless `is_here`."""
        if self.is_here():
            return
        is_task = current_thread() is self._thread
        where = f"task {self._task.get_name()!r}" if is_task else f"thread {self._thread.name!r}"
        raise ConfigurationError(
            f"an intervention or hook on this model is open in {where}, and acts there alone: open "
            "it in the thread that runs the model, leave it before another one does, or load a "
            "second model."
        )


class Turns:
    """Which thread may run a model now.

    Attributes:
        lock: is held during a pass.
        holder: the thread that holds it, and None.
        owners: of what is open; each may be there several times.
        reading: what the passes of the holder read.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.holder: Thread | None = None
        self.owners: list[Owner] = []
        self.reading = PassInputs()


@contextmanager
def turn(model: Any, reading: PassInputs | None = None) -> Iterator[None]:
    """Inside, no other thread runs the model or opens anything on it. Waits for its turn.

    All VLMs around one decoder take turns.

    Args:
        model: around a decoder.
        reading: what passes inside read; None leaves that as it is.

    Raises:
        ConfigurationError: an intervention or hook is open in another thread, or a thread has ended
            in the middle of its turn.
    """
    turns = _turns_of(model)
    while not turns.lock.acquire(timeout=_PATIENCE):
        if turns.holder is not None and not turns.holder.is_alive():
            raise ConfigurationError(
                f"thread {turns.holder.name!r} ended inside of `with vlm.reading(...)` and never "
                "left it, so the model is still taken; load it again, and leave such a block in "
                "the thread that entered it."
            )
    here = current_thread()
    before = turns.holder, turns.reading
    turns.holder, turns.reading = here, turns.reading if reading is None else reading
    try:
        for owner in list(turns.owners):
            owner.check_here()
        yield
    finally:
        if current_thread() is here:  # no other thread can give it back
            turns.holder, turns.reading = before
            turns.lock.release()


@contextmanager
def owned(model: Any) -> Iterator[Owner]:
    """Inside, only this thread may run the model: others are refused. Waits for its turn."""
    turns, owner = _turns_of(model), Owner()
    with turn(model):
        turns.owners.append(owner)
    try:
        yield owner
    finally:
        turns.owners.remove(owner)


def reading_of(model: Any) -> PassInputs:
    """What the pass under way reads, as far as that is known."""
    return _turns_of(model).reading


def check_none_open(model: Any) -> None:
    """Raise ConfigurationError where an intervention or hook is open on the model."""
    if _turns_of(model).owners:
        raise ConfigurationError(
            "an intervention or hook is open on this model; leave it before another model takes "
            "its place."
        )


def _turns_of(model: Any) -> Turns:
    with _turns_lock:
        return _turns.setdefault(decoder_of(model), Turns())


def _task() -> Any:
    try:
        return asyncio.current_task()
    except RuntimeError:  # there is no event loop in this thread
        return None


_turns: WeakKeyDictionary[nn.Module, Turns] = WeakKeyDictionary()
_turns_lock = Lock()
