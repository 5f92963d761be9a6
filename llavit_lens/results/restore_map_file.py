"""The file of a `RestoreMap`: one row per (layer, place), all else in the description.

The columns layer, kind and place are there for other readers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from llavit_lens.results.check import (
    check_array,
    check_layout,
    check_numbers,
    check_provenance,
    expect,
)
from llavit_lens.results.restore_map import Place, RestoreMap
from llavit_lens.results.sealed import (
    Columns,
    SealedFormat,
    all_of,
    check_description,
    layout_from,
    saving,
)

_PLAIN: dict[str, tuple[type, ...]] = {
    "point": (str,),
    "layers": (list,),
    "n_layers": (int,),
    "window": (int,),
    "clean": (float,),
    "corrupted": (float,),
    "question": (str,),
    "answer": (str,),
    "last_token": (int,),
    "model": (str,),
    "provenance": (dict,),
}
"""Parts of a map that stand in the description as they are."""

FORMAT = SealedFormat(
    name="RestoreMap",
    key="llavit_lens.restore_map",
    number=1,
    types={**_PLAIN, "places": (list,), "layout": (dict,)},
    dictionaries=("kind", "place"),
)


def encode(result: RestoreMap) -> bytes:
    """See `Result.to_bytes`."""
    check_map(result)
    n_layers, n = result.restored.shape
    with saving():
        description = {name: getattr(result, name) for name in _PLAIN}
        description["layout"] = result.layout.to_dict()
        description["places"] = [
            [place.kind, place.name, place.tokens.tolist(), place.cell] for place in result.places
        ]
        columns = {
            "layer": pa.array(np.repeat(np.array(result.layers, np.int64), n)),
            "kind": pa.array([place.kind for place in result.places] * n_layers, pa.string()),
            "place": pa.array([place.name for place in result.places] * n_layers, pa.string()),
            "log_prob": pa.array(result.restored.ravel()),
        }
        return FORMAT.encode(description, columns)


def decode(data: bytes, name: str) -> RestoreMap:
    """See `Result.load`; `name` is what messages call the file."""
    return FORMAT.decode(data, name, _decoded)


def _decoded(description: dict[str, Any], columns: Columns) -> RestoreMap:
    layers = description["layers"]
    check_description(all_of(layers, int))
    places = [_place_from(parts) for parts in description["places"]]
    layout = layout_from(description["layout"])
    n_layers, n = len(layers), len(places)
    texts = pa.dictionary(pa.int32(), pa.string())
    columns.check(
        {"layer": pa.int64(), "kind": texts, "place": texts, "log_prob": pa.float64()},
        n_layers * n,
    )
    result = RestoreMap(
        **{name: description[name] for name in _PLAIN},
        places=places,
        restored=columns.array("log_prob", n_layers, n),
        layout=layout,
        clean_image=None,
        corrupted_image=None,
    )
    check_map(result)
    columns.check_copy("layer", np.repeat(np.array(layers, np.int64), n))
    number = np.tile(np.arange(n), n_layers)
    columns.check_texts("kind", [place.kind for place in places], number)
    columns.check_texts("place", [place.name for place in places], number)
    return result


def check_map(result: RestoreMap) -> None:
    """Look at every part of the map, whatever type a damaged file gave it.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    check_numbers(result.layers, "layer", below=result.n_layers)
    check_provenance(result.provenance)
    check_layout(result.layout)
    n = len(result.layout)
    expect(len(result.places) > 0, "no places")
    for place in result.places:
        check_array(place.tokens, np.int64, (len(place.tokens),), "tokens of a place")
        expect(len(place.tokens) > 0 and bool((place.tokens >= 0).all()), "a place without tokens")
        expect(-1 <= place.cell < n, "a place on a patch that is not there")
    expect(result.window >= 0 and result.last_token >= 0, "a window or last token below 0")
    shape = len(result.layers), len(result.places)
    check_array(result.restored, np.float64, shape, "log-probabilities")
    expect(not np.isnan(result.restored).any(), "log-probabilities that are NaN")
    expect(
        math.isfinite(result.clean) and math.isfinite(result.corrupted),
        "log-probabilities of the images that are not finite",
    )


def _place_from(parts: Any) -> Place:
    """A place of which a description holds the parts."""
    check_description(isinstance(parts, list) and len(parts) == 4)
    kind, name, tokens, cell = parts
    check_description(all_of([kind, name], str) and all_of(tokens, int) and type(cell) is int)
    return Place(kind, name, np.array(tokens, np.int64), cell)
