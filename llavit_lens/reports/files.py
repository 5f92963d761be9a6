"""Where reports go: a folder with a table and its figure, under one name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from llavit_lens.errors import ConfigurationError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_UNDATED: dict[str, Any] = {"CreationDate": None}  # so that the same numbers give the same file


def make_folder(out: Path | None) -> None:
    """Make the folder, before any work is done; None is none.

    Raises:
        ConfigurationError: it is no folder and cannot be made one.
    """
    if out is not None:
        with _writing_to(out):
            out.mkdir(parents=True, exist_ok=True)


def write_report(name: str, table: pd.DataFrame, figure: Figure, out: Path | None) -> None:
    """Write name.csv, .png and .pdf, and say where they are; None writes nothing.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    if out is None:
        return
    with _writing_to(out):
        table.to_csv(out / f"{name}.csv", index=False)
        figure.savefig(out / f"{name}.png")
        figure.savefig(out / f"{name}.pdf", metadata=_UNDATED)
    print(f"The table and its figure are {(out / name).resolve()}.csv, .png and .pdf")


def write_figure(name: str, figure: Figure, data: dict[str, Any], out: Path) -> None:
    """Write name.png, .pdf and .json, what the figure draws as data, and say where they are.

    The same figure and data give the same bytes.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    with _writing_to(out):
        figure.savefig(out / f"{name}.png")
        figure.savefig(out / f"{name}.pdf", metadata=_UNDATED)
        (out / f"{name}.json").write_text(json.dumps(data, indent=1) + "\n")
    print(f"The figure is {(out / name).resolve()}.png and .pdf, its data .json")


@contextmanager
def _writing_to(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigurationError(
            f"cannot write to the folder {out}: {error.strerror or error}"
        ) from error
