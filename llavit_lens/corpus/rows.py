"""Words and layouts as rows of the tables in `schema`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from llavit_lens.corpus.schema import LAYOUTS_METADATA, VALUES
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Words

_IN_COLUMNS = ("positions", "tile", "row", "col", "boxes", "orientation")
"""Parts of `VisualLayout.to_dict` that columns of layouts/ and images/ hold."""


def patch_rows(image: int, words: Words, schema: pa.Schema) -> pa.RecordBatch:
    """One row per layer and patch of an image.

    Args:
        image: its number.
        words: of all layers of the index; where the schema has tracked words, with them.
        schema: of patches/.
    """
    n_layers, n, _ = words.ids.shape
    columns = {
        "image": np.full(n_layers * n, image, np.int64),
        "layer": np.repeat(np.array(words.layers, np.int16), n),
        "patch": np.tile(np.arange(n, dtype=np.int32), n_layers),
        "ids": words.ids.astype(np.int32),
        VALUES[words.kind]: half(words.values),
    }
    if words.entropy is not None:
        columns["entropy"] = half(words.entropy)
    if words.tracked is not None:
        columns["tracked"] = half(words.tracked.values)
    arrays = [_array(columns[field.name], field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def half(values: np.ndarray) -> np.ndarray:
    """float16 of float32: rounded by at most 1 part in 2048, or by 3e-8 next to 0.

    -inf stays -inf. What is finite stays finite: below -65504 it is -65504.
    """
    most = np.finfo(np.float16).max
    finite = np.isfinite(values)
    return np.where(finite, np.clip(values, -most, most), values).astype(np.float16)


def layout_table(layouts: Sequence[VisualLayout], schema: pa.Schema) -> pa.Table:
    """One row per layout and patch; what columns do not say is in the metadata."""
    tables = [_layout_rows(number, layout, schema) for number, layout in enumerate(layouts)]
    rest = [
        {name: part for name, part in layout.to_dict().items() if name not in _IN_COLUMNS}
        for layout in layouts
    ]
    metadata = {**(schema.metadata or {}), LAYOUTS_METADATA: json.dumps(rest).encode()}
    return pa.Table.from_batches(tables, schema).replace_schema_metadata(metadata)


def _layout_rows(number: int, layout: VisualLayout, schema: pa.Schema) -> pa.RecordBatch:
    columns: dict[str, Any] = {
        "layout": np.full(len(layout), number),
        "patch": np.arange(len(layout)),
        "position": layout.positions,
        "tile": layout.tile,
        "row": layout.row,
        "col": layout.col,
        **dict(zip(("x0", "y0", "x1", "y1"), layout.boxes.T, strict=True)),
        "on_image": layout.on_image,
    }
    arrays = [pa.array(columns[field.name]).cast(field.type) for field in schema]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _array(values: np.ndarray, kind: pa.DataType) -> pa.Array:
    flat = pa.array(values.ravel())
    if pa.types.is_fixed_size_list(kind):
        return pa.FixedSizeListArray.from_arrays(flat, type=kind)
    return flat
