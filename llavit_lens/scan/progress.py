"""How far a scan is: a bar with rate and time left, or a line now and then."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@contextmanager
def watched(
    total: int, done: int, doing: str, shown: bool = True
) -> Iterator[Callable[[int], None]]:
    """A function that is told how many images were read since it was called last.

    On a terminal and in a notebook it moves a bar; elsewhere it prints a line every minute.

    Args:
        total: images of the list.
        done: those that earlier runs have read.
        doing: what is done, such as "reading with demo:llavit".
        shown: False: nothing is shown.
    """
    console = Console(stderr=True)
    if not shown:
        yield lambda images: None
    elif console.is_jupyter:
        steps = iter(progress_bar(range(done, total), doing))

        def step(images: int) -> None:
            for _ in range(images):
                next(steps, None)

        yield step
        next(steps, None)  # the end
    elif not console.is_terminal:
        yield _Lines(total, done, doing).step
    else:
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
        if now - self._latest < EVERY:
            return
        self._latest = now
        rate = (self._done - self._before) / (now - self._start)
        left = (self._total - self._done) / rate
        print_remark(
            f"{self._doing}: {self._done} of {self._total} images, {rate:.3g}/s, "
            f"{left / 60:.0f} minutes left"
        )
