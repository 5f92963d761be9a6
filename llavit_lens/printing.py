"""What commands print: tables and notes on standard output; progress and remarks on the other.

No text is read as rich's markup or emoji codes: [red] and :dog: are printed as they are.
"""

from __future__ import annotations

import html
import time
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import TYPE_CHECKING, TypeVar

from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Column, Table
from rich.text import Text

if TYPE_CHECKING:
    import pandas as pd

Step = TypeVar("Step")

_PAUSE = 0.2  # seconds between two updates of a bar in a notebook


def progress_bar(steps: Iterable[Step], doing: str, total: int | None = None) -> Iterable[Step]:
    """Go through the steps beside a progress bar; `total` where they have no length.

    In a notebook it is HTML that needs no widgets, and a line of text when it is done.
    """
    console = Console(stderr=True)
    if console.is_jupyter:
        return _in_notebook(steps, doing, len(steps) if isinstance(steps, Sized) else total)
    return track(steps, escape(doing), total, console=console)


class _Bar:
    """How far steps are, as a notebook shows it."""

    def __init__(self, doing: str, done: int, total: int | None) -> None:
        self.text = f"{doing}: {done}" + ("" if total is None else f" of {total}")
        share = "" if total is None else f' value="{done}" max="{total}"'
        self.html = f"<progress{share}></progress> {html.escape(self.text)}"

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        return self.html


def _in_notebook(steps: Iterable[Step], doing: str, total: int | None) -> Iterator[Step]:
    from IPython.display import display  # there is one, if there is a notebook

    shown = display(_Bar(doing, 0, total), display_id=True)
    start = latest = now = time.monotonic()
    for number, step in enumerate(steps, start=1):
        yield step
        if (now := time.monotonic()) - latest > _PAUSE:
            shown.update(_Bar(doing, number, total))
            latest = now
    shown.update({"text/plain": f"{doing}: done in {now - start:.0f} s"}, raw=True)


def print_notes(*notes: str) -> None:
    """Print paragraphs, broken into lines that fit the terminal."""
    for note in notes:
        Console(highlight=False, emoji=False).print(note, markup=False)


def print_remark(text: str) -> None:
    """Print a line on standard error; it is not broken, because it may hold a path."""
    Console(stderr=True, highlight=False, emoji=False).print(text, markup=False, soft_wrap=True)


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None
) -> None:
    """Print a table of texts, one of `headings` for each column."""
    heads = [Column(Text(heading)) for heading in headings]
    table = Table(*heads, title=None if title is None else Text(title, "table.title"), box=SIMPLE)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def with_interval(estimate: pd.Series, decimals: int = 2, scale: float = 1) -> str:
    """`value` and half of its interval, `low` to `high`: such as '0.52 ±0.03'."""
    half = (estimate["high"] - estimate["low"]) / 2
    return f"{scale * estimate['value']:.{decimals}f} ±{scale * half:.{decimals}f}"
