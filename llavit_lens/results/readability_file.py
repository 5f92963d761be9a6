"""The file of a `Readability`: its table, and all else in the description."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from llavit_lens.results.check import check_provenance, expect
from llavit_lens.results.readability import Readability
from llavit_lens.results.sealed import (
    Columns,
    SealedFormat,
    all_of,
    check_description,
    saving,
)

_TEXT = pa.dictionary(pa.int32(), pa.string())
_TYPES = {
    "model": _TEXT,
    "measure": _TEXT,
    "layer": pa.int64(),
    "k": pa.int64(),
    "value": pa.float64(),
    "low": pa.float64(),
    "high": pa.float64(),
    "chance": pa.float64(),
    "n": pa.int64(),
}

FORMAT = SealedFormat(
    name="Readability",
    key="llavit_lens.readability",
    number=1,
    types={
        "rows": (int,),
        "n_images": (int,),
        "unreadable": (list,),
        "left_out": (list,),
        "by_first_piece": (list,),
        "provenance": (dict,),
    },
    dictionaries=("model", "measure"),
)


def encode(result: Readability) -> bytes:
    """See `Result.to_bytes`."""
    check_readability(result)
    with saving():
        description = {
            "rows": len(result.table),
            "n_images": result.n_images,
            "unreadable": result.unreadable,
            "left_out": result.left_out,
            "by_first_piece": result.by_first_piece,
            "provenance": result.provenance,
        }
        columns = {name: _column(result.table[name], kind) for name, kind in _TYPES.items()}
        return FORMAT.encode(description, columns)


def decode(data: bytes, name: str) -> Readability:
    """See `Result.load`; `name` is what messages call the file."""
    return FORMAT.decode(data, name, _decoded)


def _decoded(description: dict[str, Any], columns: Columns) -> Readability:
    rows = description.pop("rows")
    for name in ("unreadable", "left_out", "by_first_piece"):
        check_description(all_of(description[name], str))
    columns.check(_TYPES, rows)
    values: dict[str, Any] = {name: columns.texts(name) for name in ("model", "measure")}
    values |= {name: pd.array(columns.values(name), dtype="Int64") for name in ("layer", "k")}
    for name in ("value", "low", "high", "chance", "n"):
        values[name] = columns.array(name, rows)
    result = Readability(table=pd.DataFrame(values), **description)
    check_readability(result)
    return result


def check_readability(result: Readability) -> None:
    """Look at every part of the result, whatever type a damaged file gave it.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    check_provenance(result.provenance)
    table = result.table
    expect(list(table.columns) == list(_TYPES), f"columns other than {', '.join(_TYPES)}")
    expect(len(table) > 0 and result.n_images > 0, "no rows, or no images")
    expect(all(isinstance(name, str) for name in (*table["model"], *table["measure"])), "no names")
    for name in ("layer", "k"):
        expect(str(table[name].dtype) == "Int64", f"a {name} that is no whole number")
        expect(not (table[name] < 0).any(), f"a {name} below 0")
    for name in ("value", "low", "high", "chance"):
        expect(table[name].dtype == np.float64, f"a {name} that is no float64")
    expect(table["n"].dtype == np.int64 and bool((table["n"] > 0).all()), "n below 1")


def _column(values: pd.Series, kind: pa.DataType) -> pa.Array:
    if kind == pa.float64():
        return pa.array(values.to_numpy())  # NaN is a value, not an empty cell
    return pa.array(values.tolist(), pa.string() if kind == _TEXT else kind, from_pandas=True)
