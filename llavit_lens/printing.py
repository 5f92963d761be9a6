"""What commands print: tables and notes on standard output; progress and remarks on the other.

No text is read as rich's markup or emoji codes: [red] and :dog: are printed as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


def progress_bar(steps: Iterable[Step], doing: str, total: int | None = None) -> Iterable[Step]:
    """Go through the steps beside a progress bar; `total` where they have no length."""
    return track(steps, escape(doing), total, console=Console(stderr=True))


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
