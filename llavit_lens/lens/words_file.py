"""Words as a Parquet file: one row per (layer, patch), everything else as JSON in the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.errors import ConfigurationError
from llavit_lens.lens.words import Tracked, Words
from llavit_lens.vlm.layout import VisualLayout

_KEY = b"llavit_lens.words"
_FORMAT = 1


def write(words: Words, path: Path) -> None:
    """See `Words.save`."""
    n_layers, n, _ = words.ids.shape
    columns: dict[str, pa.Array] = {"layer": pa.array(np.repeat(words.layers, n), pa.int64())}
    for name in ("tile", "row", "col"):
        columns[name] = pa.array(np.tile(getattr(words.layout, name), n_layers))
    columns["word"] = _lists(
        pa.array([words.strings[token] for token in words.ids.ravel().tolist()]), n_layers * n
    )
    columns["id"] = _lists(pa.array(words.ids.ravel()), n_layers * n)
    columns["value"] = _lists(pa.array(words.values.ravel()), n_layers * n)
    for name in ("logsumexp", "entropy"):
        if (array := getattr(words, name)) is not None:
            columns[name] = pa.array(array.ravel())
    if words.tracked is not None:
        columns["tracked_value"] = _lists(pa.array(words.tracked.values.ravel()), n_layers * n)
        columns["tracked_rank"] = _lists(pa.array(words.tracked.ranks.ravel()), n_layers * n)
    about = {
        "format": _FORMAT,
        "kind": words.kind,
        "layers": words.layers,
        "k": words.k,
        "strings": {str(token): text for token, text in words.strings.items()},
        "layout": words.layout.to_dict(),
        "provenance": words.provenance,
        "tracked": None
        if words.tracked is None
        else [words.tracked.words, words.tracked.ids.tolist()],
    }
    table = pa.table(columns).replace_schema_metadata({_KEY: json.dumps(about)})
    try:
        pq.write_table(table, path, compression="zstd")
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error.strerror or error})"
        ) from error


def read(path: Path) -> Words:
    """See `Words.load`."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such file") from error
    except (OSError, pa.ArrowException) as error:
        raise ConfigurationError(
            f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})"
        ) from error
    about = json.loads((table.schema.metadata or {}).get(_KEY, b"{}"))
    if about.get("format") != _FORMAT:
        raise ConfigurationError(f"{path}: not a file that this version's Words.save wrote")
    layout = VisualLayout.from_dict(about["layout"])
    shape = len(about["layers"]), len(layout)

    def column(name: str) -> np.ndarray | None:
        return table[name].to_numpy().reshape(shape) if name in table.column_names else None

    def lists(name: str) -> np.ndarray:
        flat = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return flat.reshape(*shape, -1)

    tracked: Tracked | None = None
    if about["tracked"] is not None:
        tracked_words, ids = about["tracked"]
        tracked = Tracked(
            tracked_words, np.array(ids, np.int64), lists("tracked_value"), lists("tracked_rank")
        )
    return Words(
        kind=about["kind"],
        layers=about["layers"],
        ids=lists("id"),
        values=lists("value"),
        logsumexp=column("logsumexp"),
        entropy=column("entropy"),
        strings={int(token): text for token, text in about["strings"].items()},
        layout=layout,
        provenance=about["provenance"],
        tracked=tracked,
    )


def _lists(flat: Any, rows: int) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(flat, len(flat) // rows)
