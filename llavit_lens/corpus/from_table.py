"""The images that a table lists: CSV, TSV, JSON lines or Parquet, with a column of paths."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from llavit_lens.corpus.from_folder import is_image_name
from llavit_lens.corpus.image_list import Files
from llavit_lens.disk import check_file, shown
from llavit_lens.errors import ConfigurationError, one_line, printable
from llavit_lens.evaluation.labelled.label_report import LabelReport

# fmt: off
USUAL_COLUMNS = (
    "path", "image", "image_path", "img_path", "file", "file_name", "filename", "file_path",
    "filepath", "image_file", "img",
)
# fmt: on
"""Names of columns of paths, in lower case."""


def images_of_table(table: Path, column: str | None = None, folder: Path | None = None) -> Files:
    """The images of a list, in its order, each at its first row.

    Args:
        table: .csv, .tsv, .jsonl, .ndjson or .parquet, in UTF-8.
        column: of the paths; without it, one of `USUAL_COLUMNS`, or the only column.
        folder: where relative paths start; without it, the folder of the list.

    Raises:
        ConfigurationError: it cannot be read, has no such column, or lists no image.
    """
    check_file(table)
    column, values = _READERS[table.suffix.lower()](table, column)
    report, files = LabelReport(), dict[str, None]()
    for row, value in enumerate(values, start=1):
        if value is None or value == "":
            report.add("rows left out, they have no path", f"row {row}")
        elif not isinstance(value, str):
            raise ConfigurationError(
                f"{shown(table)}: column {printable(column)!r} holds no paths: row {row} is "
                f"{printable(str(value), 40)}, which is no text"
            )
        elif "\0" in value:
            report.add("rows left out, no file can have their path", f"row {row}")
        elif value in files:
            report.add("rows left out, their image is listed before", f"row {row}, {value}")
        else:
            files[value] = None
    if not files:
        left_out = "".join(f"; {line}" for line in report.lines)
        raise ConfigurationError(f"{shown(table)}: lists no images{left_out}")
    origin = {"images": os.path.abspath(table), "column": column}
    if folder is not None:
        origin["folder"] = os.path.abspath(folder)
    start = Path(os.path.abspath(folder or table.parent))
    return Files(start, list(files), origin, report.lines)


def is_table(path: Path) -> bool:
    """Whether a file is a list of images, by its name."""
    return path.suffix.lower() in _READERS


def _csv(table: Path, column: str | None) -> tuple[str, Iterable[Any]]:
    import pyarrow as pa
    from pyarrow import csv

    options: dict[str, Any] = {
        "parse_options": csv.ParseOptions(
            delimiter="\t" if table.suffix.lower() == ".tsv" else ",", newlines_in_values=True
        )
    }
    try:
        with csv.open_csv(table, **options) as reader:
            names = reader.schema.names
        column = _column(table, names, column)
        convert = csv.ConvertOptions(include_columns=[column], column_types={column: pa.string()})
        values = csv.read_csv(table, convert_options=convert, **options)[column]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(table, error) from error
    return column, values.to_pylist()


def _parquet(table: Path, column: str | None) -> tuple[str, Iterable[Any]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(table) as file:
            column = _column(table, file.schema_arrow.names, column)
            values = file.read([column])[column]
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(table, error) from error
    return column, values.to_pylist()


def _json_lines(table: Path, column: str | None) -> tuple[str, Iterable[Any]]:
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    try:
        with open(table, encoding="utf-8-sig") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise ConfigurationError(
                            f"{shown(table)}: line {number} is no JSON object such as "
                            '{"path": "a.png"}'
                        )
                    rows.append(row)
                    names.update(dict.fromkeys(row))
    except RecursionError as error:
        raise ConfigurationError(f"{shown(table)}: its JSON is nested too deeply") from error
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            f"{shown(table)}: line {number} is no JSON ({one_line(error)})"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(table, error) from error
    column = _column(table, list(names), column)
    return column, (row.get(column) for row in rows)


_READERS: dict[str, Callable[[Path, str | None], tuple[str, Iterable[Any]]]] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
}


def _column(table: Path, names: list[str], wanted: str | None) -> str:
    """The column of paths.

    Raises:
        ConfigurationError: there is none, or it is not clear which.
    """
    there = ", ".join(printable(name, 40) for name in names) or "none"
    if wanted is not None:
        if wanted not in names:
            raise ConfigurationError(
                f"{shown(table)}: has no column {printable(wanted)!r}; there are: {there}"
            )
        return wanted
    usual = [name for name in names if name.strip().lower() in USUAL_COLUMNS]
    usual = names if not usual and len(names) == 1 else usual
    if len(usual) != 1:
        which = "several columns may be" if usual else "no column is"
        raise ConfigurationError(
            f"{shown(table)}: {which} that of the paths, among {there}; say which: "
            f"{shown(table.name)}:COLUMN"
        )
    if is_image_name(usual[0]):
        raise ConfigurationError(
            f"{shown(table)}: its first line is a path; write the name of the column, such as "
            "path, in a line above it"
        )
    return usual[0]


def _unreadable(table: Path, error: Exception) -> ConfigurationError:
    if "utf8" in str(error).lower().replace("-", ""):
        return ConfigurationError(f"{shown(table)}: is not text in UTF-8; save it in this encoding")
    return ConfigurationError(f"{shown(table)}: cannot be read ({one_line(error)})")
