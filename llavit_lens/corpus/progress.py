"""How far a scan is: a bar with rate and time left, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from llavit_lens.printing import print_remark, progress_bar

EVERY = 60.0
"""Seconds between two lines where standard error is no terminal."""


Shown = Literal["bar", "lines", "no"]
"""A bar, where there is a terminal or a notebook, and else lines; lines everywhere; or nothing."""

Step = Callable[[int], None]
"""Is told how many images were read since it was called last."""

Watch = Callable[[int, int], AbstractContextManager[Step]]
"""Given the number of images, and how many of them earlier runs have read: shows how far it is."""


def watched(doing: str, shown: Shown) -> Watch:
    """What shows on standard error how far a scan is: a line is printed once a minute.

    Args:
        doing: what is done, such as "reading with demo:llavit".
        shown: how.
    """

    def watch(total: int, done: int) -> AbstractContextManager[Step]:
        console = Console(stderr=True)
        if shown == "no":
            return nullcontext(lambda images: None)
        if shown == "bar" and console.is_jupyter:
            return _notebook(total, done, doing)
        if shown == "bar" and console.is_terminal:
            return _bar(console, total, done, doing)
        return nullcontext(_Lines(total, done, doing).step)

    return watch


@contextmanager
def _bar(console: Console, total: int, done: int, doing: str) -> Iterator[Step]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Rate(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, speed_estimate_period=60) as bar:
        task = bar.add_task(escape(doing), total=total, completed=done)
        yield lambda images: bar.advance(task, images)


@contextmanager
def _notebook(total: int, done: int, doing: str) -> Iterator[Step]:
    steps = iter(progress_bar(range(done, total), doing))

    def step(images: int) -> None:
        for _ in range(images):
            next(steps, None)

    yield step
    next(steps, None)  # the end


class _Rate(ProgressColumn):
    """Images per second."""

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else f"{task.speed:.3g}/s", "progress.data.speed")


class _Lines:
    """A line now and then, for logs."""

    def __init__(self, total: int, done: int, doing: str) -> None:
        self._total, self._before, self._done, self._doing = total, done, done, doing
        self._start = self._latest = time.monotonic()

    def step(self, images: int) -> None:
        self._done += images
        now = time.monotonic()
        if now - self._latest < EVERY or self._done == self._total:
            return
        self._latest = now
        rate = (self._done - self._before) / (now - self._start)
        left = (self._total - self._done) / rate
        print_remark(
            f"{self._doing}: {self._done} of {self._total} images, {rate:.3g}/s, "
            f"{left / 60:.0f} minutes left"
        )
