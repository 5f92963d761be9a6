"""A study's figure from its table, as the study wrote it: nothing is measured again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError
from llavit_lens.output import make_folder, print_figures, write_figures

if TYPE_CHECKING:
    from llavit_lens.figures.figure import Figure

_NUMBERS = {"value", "low", "high", "change", "change_low", "change_high", "n", "scenes", "asked",
            "guess", "layer", "relative", "uniform"}  # fmt: skip


def draw_again(
    name: str,
    file: Path,
    columns: Sequence[str],
    draw: Callable[[pd.DataFrame], Figure],
    out: Path | None,
) -> None:
    """Read a table and write the figure name.png and name.pdf of it.

    Args:
        file: the .csv file that the study wrote.
        columns: those that `draw` needs.
        out: the folder to write to.

    Raises:
        ConfigurationError: there is no folder to write to, or the file is no such table.
    """
    if out is None:
        raise ConfigurationError("--table draws a figure: say where with --out FOLDER")
    make_folder(out)
    table = read_table(file, columns)
    try:
        figure = draw(table)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{shown(file)}: is not the whole table that {name} wrote; measure again"
        ) from error
    write_figures(name, figure, out)
    print_figures(name, out)


def read_table(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """A table that a study has written.

    Raises:
        ConfigurationError: it cannot be read, is empty, or lacks a column.
    """
    try:
        table = pd.read_csv(file)
    except (OSError, ValueError) as error:  # pandas' own errors are ValueErrors
        raise ConfigurationError(
            f"{shown(file)}: cannot be read as a table (.csv): {error}"
        ) from error
    missing = [column for column in columns if column not in table]
    if missing:
        raise ConfigurationError(
            f"{shown(file)}: has no column {missing[0]!r}; give the table that this script wrote"
        )
    if table.empty:
        raise ConfigurationError(f"{shown(file)}: the table is empty")
    words = [c for c in columns if c in _NUMBERS and not pd.api.types.is_numeric_dtype(table[c])]
    if words:
        raise ConfigurationError(f"{shown(file)}: its column {words[0]!r} holds no numbers")
    return table
