"""Files of reports: written whole or not at all, often several under one name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from llavit_lens.disk import shown, user_path, write_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import PAGES, is_figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# So that the same numbers give the same file.
_UNDATED: dict[str, dict[str, Any]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def make_folder(out: Path | None) -> None:
    """Make the folder, before any work is done; None makes none.

    Raises:
        ConfigurationError: it is no folder and cannot be made one.
    """
    if out is not None:
        try:
            user_path(out, what="the folder to write").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(
                f"cannot write to the folder {shown(out)}: {error.strerror or error}"
            ) from error


def write_files(contents: Mapping[Path, pd.DataFrame | Figure | str]) -> None:
    """Write tables, figures and texts in the formats of their suffixes.

    All are written before the first gets its name, so that files of one report belong together.

    Raises:
        ConfigurationError: one of them cannot be written; older files then stay.
    """
    with ExitStack() as files:
        for target, content in contents.items():
            _write(content, files.enter_context(write_atomically(target)))


def write_report(name: str, table: pd.DataFrame, figure: Figure, out: Path | None) -> None:
    """Write name.csv, .png and .pdf; None writes nothing.

    Call it before anything is printed: the reader of the output may leave, as `head` does.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    if out is None:
        return
    write_files(
        {out / f"{name}.csv": table, out / f"{name}.png": figure, out / f"{name}.pdf": figure}
    )


def write_figures(name: str, figure: Figure, out: Path) -> None:
    """Write name.png and .pdf.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    write_files({out / f"{name}.png": figure, out / f"{name}.pdf": figure})


def print_figures(name: str, out: Path) -> None:
    """Print where the files of `write_figures` are."""
    print(f"The figure is {full_path(out / name)}.png and .pdf")


def print_report_files(name: str, out: Path | None) -> None:
    """Print where the files of `write_report` are, after the results; None prints nothing."""
    if out is not None:
        print(f"The table and its figure are {full_path(out / name)}.csv, .png and .pdf")


def print_file(out: Path | None) -> None:
    """Print where `write_files` has written a figure, table or page; None prints nothing."""
    if out is not None:
        is_page = out.suffix.lower() in PAGES
        kind = "page" if is_page else "figure" if is_figure(out) else "table"
        print(f"The {kind} is {full_path(out)}")


def write_figure(name: str, figure: Figure, data: dict[str, Any], out: Path) -> None:
    """Write name.png, .pdf and .json (the data of the figure), and print where they are.

    The same figure and data give the same bytes.

    Raises:
        ConfigurationError: the folder cannot be written to.
    """
    text = json.dumps(data, indent=1) + "\n"
    write_files(
        {out / f"{name}.png": figure, out / f"{name}.pdf": figure, out / f"{name}.json": text}
    )
    print(f"The figure is {full_path(out / name)}.png and .pdf, its data .json")


def full_path(out: Path) -> Path:
    """The absolute path of a file that was written."""
    return user_path(out).resolve()


def _write(content: pd.DataFrame | Figure | str, path: Path) -> None:
    suffix = path.suffix.lower()
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    elif is_figure(path):
        cast("Figure", content).savefig(path, metadata=_UNDATED.get(suffix))
    elif suffix == ".csv":
        cast("pd.DataFrame", content).to_csv(path, index=False)
    else:
        cast("pd.DataFrame", content).to_parquet(path, index=False)
