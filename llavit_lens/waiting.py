"""A line on the terminal while a program works and has nothing to print yet."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock, Timer
from typing import Any

AFTER = 0.5
"""Seconds of silence before the line appears."""
PYTORCH = "Loading PyTorch and transformers"
"""What every program waits for first: some seconds."""


@contextmanager
def waiting(text: str) -> Iterator[Callable[[str], None]]:
    """Inside, standard error shows `text` and a spinner, and nothing of it stays.

    Nothing is shown of a short wait, or where standard error is no terminal: a log stays quiet.

    Args:
        text: what is waited for, such as "Loading demo:llavit".

    Returns:
        A function that takes another text to show.
    """
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    line = _Line(text)
    timer = Timer(AFTER, line.appear)
    timer.daemon = True
    timer.start()
    try:
        yield line.say
    finally:
        timer.cancel()
        line.end()


class _Line:
    """The line; the timer's thread lets it appear, the program's own thread ends it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._live: Any = None
        self._ended = False
        self._lock = Lock()

    def appear(self) -> None:
        with self._lock:
            if not self._ended:
                from rich.console import Console
                from rich.live import Live

                self._live = Live(
                    self._spinner(),
                    console=Console(stderr=True),
                    refresh_per_second=8,
                    transient=True,
                    redirect_stdout=False,
                    redirect_stderr=False,
                )
                self._live.start()

    def say(self, text: str) -> None:
        with self._lock:
            self._text = text
            if self._live is not None:
                self._live.update(self._spinner())

    def end(self) -> None:
        with self._lock:
            self._ended = True
            if self._live is not None:
                self._live.stop()

    def _spinner(self) -> Any:
        from rich.spinner import Spinner
        from rich.text import Text

        return Spinner("dots", Text(f"{self._text} …"))  # Text: [red] in a name is no markup
