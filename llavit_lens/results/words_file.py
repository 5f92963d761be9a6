"""The file of `Words`: one row per (layer, patch), everything else in the description.

Some columns (layer, tile, row, col, word) are there for other readers; what they say has to be what
the description says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.layered_words_file import (
    BEFORE_LEADERS,
    TYPES,
    check_parts,
    check_words_of_ids,
    columns_of,
    described,
    fields_from,
)
from llavit_lens.results.sealed import Columns, SealedFormat, layout_from, saving
from llavit_lens.results.words import Words
from llavit_lens.results.words_check import check_words

FORMAT = SealedFormat(
    name="Words",
    key="llavit_lens.words",
    number=3,
    types={**TYPES, "layout": (dict,)},
    dictionaries=("word.list.element",),
    former={2: BEFORE_LEADERS},
)


def encode(words: Words) -> bytes:
    """See `Words.to_bytes`."""
    check_words(words)
    description = {**described(words), "layout": words.layout.to_dict()}
    with saving():
        cells = _cells(words.layers, words.layout)
        places = {name: pa.array(values) for name, values in cells.items()}
        return FORMAT.encode(description, {**places, **columns_of(words)})


def decode(data: bytes, name: str) -> Words:
    """See `Words.load`; `name` is what messages call the file."""
    return FORMAT.decode(data, name, _decoded)


def _decoded(description: dict[str, Any], columns: Columns) -> Words:
    check_parts(description)
    layout, layers = layout_from(description["layout"]), description["layers"]
    fields = fields_from(description, columns, _cells(layers, layout), len(layout))
    words = Words(**fields, layout=layout)
    check_words_of_ids(words, columns)
    check_words(words)
    return words


def _cells(layers: list[int], layout: VisualLayout) -> dict[str, np.ndarray]:
    """int64 [layers x n] each: the layer of every row, and the cell."""
    cells = {"layer": np.repeat(np.array(layers, np.int64), len(layout))}
    for name in ("tile", "row", "col"):
        cells[name] = np.tile(getattr(layout, name), len(layers))
    return cells
