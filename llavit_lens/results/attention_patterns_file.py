"""The file of `AttentionPatterns`: one row per (layer, head, query), all else in the description.

The columns layer, head, query and query_position are there for other readers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from llavit_lens.results.attention_patterns import AttentionPatterns, Query, QueryToken
from llavit_lens.results.check import (
    ROUNDING,
    check_array,
    check_layout,
    check_numbers,
    check_provenance,
    expect,
)
from llavit_lens.results.sealed import (
    Columns,
    SealedFormat,
    all_of,
    check_description,
    layout_from,
    saving,
)

FORMAT = SealedFormat(
    name="AttentionPatterns",
    key="llavit_lens.attention_patterns",
    number=1,
    types={
        "layers": (list,),
        "heads": (list,),
        "queries": (list,),
        "layout": (dict,),
        "n_layers": (int,),
        "n_tokens": (int,),
        "model": (str,),
        "prompt": (str,),
        "provenance": (dict,),
    },
    dictionaries=("query",),
)


def encode(patterns: AttentionPatterns) -> bytes:
    """See `Result.to_bytes`."""
    check_patterns(patterns)
    with saving():
        description = {
            "layers": patterns.layers,
            "heads": patterns.heads,
            "queries": [list(token) for token in patterns.queries],
            "layout": patterns.layout.to_dict(),
            "n_layers": patterns.n_layers,
            "n_tokens": patterns.n_tokens,
            "model": patterns.model,
            "prompt": patterns.prompt,
            "provenance": patterns.provenance,
        }
        rows = _rows(patterns.layers, patterns.heads, patterns.queries)
        weights = pa.array(patterns.weights.ravel())
        columns = {name: pa.array(values) for name, values in rows.items()}
        columns["query"] = pa.array(
            [patterns.queries[number].name for number in rows["query"]], pa.string()
        )
        columns["share_on_visual"] = pa.array(patterns.share_on_visual.ravel())
        columns["weight"] = pa.FixedSizeListArray.from_arrays(weights, len(patterns.layout))
        return FORMAT.encode(description, columns)


def decode(data: bytes, name: str) -> AttentionPatterns:
    """See `Result.load`; `name` is what messages call the file."""
    return FORMAT.decode(data, name, _decoded)


def _decoded(description: dict[str, Any], columns: Columns) -> AttentionPatterns:
    layers, heads = description["layers"], description["heads"]
    check_description(all_of(layers, int) and all_of(heads, int))
    queries = [_query_from(parts) for parts in description["queries"]]
    layout = layout_from(description["layout"])
    shape = len(layers), len(heads), len(queries)
    columns.check(
        {
            "layer": pa.int64(),
            "head": pa.int64(),
            "query": pa.dictionary(pa.int32(), pa.string()),
            "query_position": pa.int64(),
            "share_on_visual": pa.float32(),
            "weight": pa.list_(pa.float32(), len(layout)),
        },
        shape[0] * shape[1] * shape[2],
    )
    patterns = AttentionPatterns(
        layers=layers,
        heads=heads,
        queries=queries,
        weights=columns.array("weight", *shape, len(layout)),
        share_on_visual=columns.array("share_on_visual", *shape),
        layout=layout,
        n_layers=description["n_layers"],
        n_tokens=description["n_tokens"],
        image=None,
        model=description["model"],
        prompt=description["prompt"],
        provenance=description["provenance"],
    )
    check_patterns(patterns)
    rows = _rows(layers, heads, queries)
    columns.check_texts("query", [token.name for token in queries], rows.pop("query"))
    for name, values in rows.items():
        columns.check_copy(name, values)
    return patterns


def check_patterns(patterns: AttentionPatterns) -> None:
    """Look at every part of the patterns, whatever type a damaged file gave it.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    check_numbers(patterns.layers, "layer", below=patterns.n_layers)
    check_numbers(patterns.heads, "head")
    check_provenance(patterns.provenance)
    check_layout(patterns.layout)
    n = len(patterns.layout)
    expect(len(patterns.queries) > 0, "no queries")
    for token in patterns.queries:
        expect(0 <= token.position < patterns.n_tokens, "a query that is no token of the prompt")
        expect(-1 <= token.cell < n, "a query on a patch that is not there")
    shape = len(patterns.layers), len(patterns.heads), len(patterns.queries)
    check_array(patterns.weights, np.float32, (*shape, n), "weights")
    check_array(patterns.share_on_visual, np.float32, shape, "shares")
    for values in (patterns.weights, patterns.share_on_visual):
        expect(
            bool(((values >= -ROUNDING) & (values <= 1 + ROUNDING)).all()),
            "weights below 0, above 1 or NaN",
        )


def _query_from(parts: Any) -> QueryToken:
    """A query of which a description holds the parts."""
    check_description(isinstance(parts, list) and len(parts) == 5)
    query, position, kind, text, cell = parts
    check_description(
        (type(query) in (str, int) or (all_of(query, int) and len(query) in (2, 3)))
        and all_of([position, cell], int)
        and all_of([kind, text], str)
    )
    asked: Query = tuple(query) if isinstance(query, list) else query
    return QueryToken(asked, position, kind, text, cell)


def _rows(layers: list[int], heads: list[int], queries: list[QueryToken]) -> dict[str, np.ndarray]:
    """int64 [layers x heads x queries] each; `query` is the number of the query."""
    layer, head, query = np.indices((len(layers), len(heads), len(queries))).reshape(3, -1)
    return {
        "layer": np.array(layers, np.int64)[layer],
        "head": np.array(heads, np.int64)[head],
        "query": query.astype(np.int64),
        "query_position": np.array([token.position for token in queries], np.int64)[query],
    }
