"""Words as a Parquet file: one row per (layer, patch), everything else as JSON in the schema.

The file is sealed with a SHA-256 of all its bytes, which stands in the schema too. Nothing of it is
parsed before it fits: some damage ends Arrow, and Python with it. Some columns (layer, tile, row,
col, word) are there for other readers; what they say has to be what the JSON says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.disk import MAX_TEXT_BYTES
from llavit_lens.errors import ConfigurationError, one_line
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Tracked, Words
from llavit_lens.results.words_check import check_words

MAX_BYTES = 2**30
MAX_WORDS = 2**27
"""Layers x patches x (k + tracked words) of one file: 134 million, some gigabytes of memory."""

_KEY, _SEAL = b"llavit_lens.words", b"llavit_lens.words.sha256"
_UNSEALED = b"0" * 64
_FORMAT = 2
_PLACES = ("layer", "tile", "row", "col")
_DAMAGED = "the file was damaged or changed; save the words again"


def encode(words: Words) -> bytes:
    """See `Words.to_bytes`."""
    check_words(words)
    _check_size(words.ids.size + (words.tracked.ranks.size if words.tracked else 0))
    about = {
        "format": _FORMAT,
        "kind": words.kind,
        "layers": words.layers,
        "k": words.k,
        "strings": {str(token): text for token, text in words.strings.items()},
        "layout": words.layout.to_dict(),
        "provenance": words.provenance,
        "tracked": words.tracked and [words.tracked.words, words.tracked.ids.tolist()],
    }
    numbers = _numbers(words)
    try:
        text = json.dumps(about, allow_nan=False).encode()
        if json.loads(text)["provenance"] != words.provenance:
            raise ValueError("provenance holds a tuple, or a key that is no text")
        columns: dict[str, pa.Array] = {
            name: pa.array(place) for name, place in _places(words.layers, words.layout).items()
        }
        "".join(words.strings.values()).encode()  # older pyarrow takes half of a surrogate pair
        tokens = [words.strings[token] for token in words.ids.ravel().tolist()]
        columns["word"] = pa.FixedSizeListArray.from_arrays(pa.array(tokens, pa.string()), words.k)
    except (TypeError, ValueError) as error:  # ValueError: half of a surrogate pair
        raise ConfigurationError(f"these words cannot be saved: {one_line(error)}") from error
    for name, array in numbers.items():
        flat = pa.array(array.ravel())
        columns[name] = (
            flat if array.ndim == 2 else pa.FixedSizeListArray.from_arrays(flat, array.shape[2])
        )
    table = pa.table(columns).replace_schema_metadata({_KEY: text, _SEAL: _UNSEALED})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return seal(sink.getvalue().to_pybytes())


def decode(data: bytes, name: str) -> Words:
    """See `Words.load`; `name` is what messages call the file."""
    try:
        if data != seal(data):
            raise ConfigurationError(f"its contents do not have its checksum: {_DAMAGED}")
        words = _decoded(_open(data))
        check_words(words)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error
    except (OSError, pa.ArrowException, ValueError, IndexError, OverflowError) as error:
        raise ConfigurationError(f"{name}: {_DAMAGED} ({one_line(error)})") from error
    return words


def seal(contents: bytes) -> bytes:
    """The contents of a file with the checksum of all the rest of it in its place.

    Raises:
        ConfigurationError: there is no place for it.
    """
    found = re.match(rb"..([0-9a-f]{64})", contents[contents.rfind(_SEAL) + len(_SEAL) :], re.S)
    if contents[:4] != b"PAR1":
        raise ConfigurationError("not a Parquet file")
    if _SEAL not in contents or found is None:
        raise ConfigurationError(
            "not a file that this version's Words.save wrote (an earlier one saved no checksum: "
            "read the words again)"
        )
    before = contents[: contents.rfind(_SEAL) + len(_SEAL) + 2]
    after = contents[len(before) + len(_UNSEALED) :]
    digest = hashlib.sha256(before)
    digest.update(_UNSEALED)
    digest.update(after)
    return before + digest.hexdigest().encode() + after


def _open(data: bytes) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(
            pa.BufferReader(data),
            # a text that stands in many rows is in memory once
            read_dictionary=["word.list.element"],
            page_checksum_verification=True,
        )
    except KeyError as error:
        raise ConfigurationError(f"it has no column of words: {_DAMAGED}") from error


def _decoded(file: pq.ParquetFile) -> Words:
    metadata = file.schema_arrow.metadata or {}
    about = _about(metadata.get(_KEY, b"{}"))
    layout = _layout(about["layout"])
    layers, k, tracked = about["layers"], about["k"], about["tracked"]
    rows = len(layers) * len(layout)
    followed = len(tracked[0]) if tracked else 0
    _check_size(rows * (k + followed))
    _check_columns(file, about["kind"], rows, k, followed)

    parts = [file.read_row_group(number) for number in range(file.num_row_groups)]
    shape = len(layers), len(layout)

    def column(name: str, *width: int) -> np.ndarray:
        chunks = [chunk for part in parts for chunk in part[name].chunks]
        if width:
            chunks = [chunk.flatten() for chunk in chunks]
        array = np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])
        if array.size != rows * (width[0] if width else 1):
            raise ConfigurationError(f"empty cells: {_DAMAGED}")
        return array.reshape(*shape, *width)

    lens = about["kind"] == "logit_lens"
    words = Words(
        kind=about["kind"],
        layers=layers,
        ids=column("id", k),
        values=column("value", k),
        logsumexp=column("logsumexp") if lens else None,
        entropy=column("entropy") if lens else None,
        strings={int(token): text for token, text in about["strings"].items()},
        layout=layout,
        provenance=about["provenance"],
        tracked=None
        if tracked is None
        else Tracked(
            words=tracked[0],
            ids=np.array(tracked[1], np.int64),
            values=column("tracked_value", followed)
            if followed
            else np.empty((*shape, 0), np.float32),
            ranks=column("tracked_rank", followed) if followed else np.empty((*shape, 0), np.int64),
        ),
    )
    for name, place in _places(layers, layout).items():
        if not np.array_equal(column(name).ravel(), place):
            raise ConfigurationError(f"its rows are not those of its patches: {_DAMAGED}")
    _check_texts(words, [chunk.flatten() for part in parts for chunk in part["word"].chunks])
    return words


def _about(text: bytes) -> dict[str, Any]:
    """The JSON of the schema, its parts of the right types."""
    if len(text) > MAX_TEXT_BYTES:
        raise ConfigurationError(f"its description is larger than {MAX_TEXT_BYTES} bytes")
    try:
        about = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"its description is no JSON: {_DAMAGED}") from error
    if not isinstance(about, dict) or "format" not in about:
        raise ConfigurationError("not a file that Words.save wrote")
    if about["format"] != _FORMAT:
        raise ConfigurationError("not of the format that this version reads; a newer one may be")
    types: Mapping[str, tuple[type, ...]] = {
        "format": (int,),
        "kind": (str,),
        "layers": (list,),
        "k": (int,),
        "strings": (dict,),
        "layout": (dict,),
        "provenance": (dict,),
        "tracked": (list, type(None)),
    }
    fits = {*about} == {*types} and all(type(about[name]) in types[name] for name in types)
    if fits:
        layers, tracked, strings = about["layers"], about["tracked"] or [[], []], about["strings"]
        fits = (
            about["k"] > 0
            and len(layers) > 0
            and [type(part) for part in tracked] == [list, list]
            and len(tracked[0]) == len(tracked[1])
            and all(type(number) is int for number in (*layers, *tracked[1]))
            and all(type(text) is str for text in (*strings.values(), *tracked[0]))
            and all(token.isdecimal() and str(int(token)) == token for token in strings)
        )
    if not fits:
        raise ConfigurationError(f"its description has wrong parts: {_DAMAGED}")
    return about


def _layout(fields: dict[str, Any]) -> VisualLayout:
    try:
        layout = VisualLayout.from_dict(fields)
        exact = layout.to_dict() == fields
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(f"its layout has wrong parts: {_DAMAGED}") from error
    if not exact or not len(layout):
        raise ConfigurationError(f"its layout has wrong parts: {_DAMAGED}")
    return layout


def _check_columns(file: pq.ParquetFile, kind: str, rows: int, k: int, followed: int) -> None:
    """Whether columns have the types and lengths of such words, before they are unpacked."""
    types = {name: pa.int64() for name in _PLACES}
    types["word"] = pa.list_(pa.dictionary(pa.int32(), pa.string()), k)
    types |= {"id": pa.list_(pa.int64(), k), "value": pa.list_(pa.float32(), k)}
    if kind == "logit_lens":
        types |= {"logsumexp": pa.float32(), "entropy": pa.float32()}
    if followed:
        types["tracked_value"] = pa.list_(pa.float32(), followed)
        types["tracked_rank"] = pa.list_(pa.int64(), followed)
    schema, metadata = file.schema_arrow, file.metadata
    if schema.names != [*types] or schema.types != [*types.values()]:
        raise ConfigurationError(f"its columns are not those of such words: {_DAMAGED}")
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    for number, each in enumerate(types.values()):
        width = each.list_size if isinstance(each, pa.FixedSizeListType) else 1
        values = sum(group.column(number).num_values for group in groups)
        if metadata.num_rows != rows or values != rows * width:
            raise ConfigurationError(f"it has not one row for each layer and patch: {_DAMAGED}")


def _check_texts(words: Words, texts: list[pa.DictionaryArray]) -> None:
    """Whether the column of texts says what `strings` says of the ids."""
    codes: dict[str, int] = {}
    tokens = np.array(sorted(words.strings), np.int64)
    expected = np.array(
        [codes.setdefault(words.strings[token], len(codes)) for token in tokens.tolist()]
    )
    given = [
        np.array([codes.get(text, -1) for text in chunk.dictionary.to_pylist()], np.int64)[
            chunk.indices.to_numpy(zero_copy_only=False)
        ]
        for chunk in texts
    ]
    ids = words.ids.ravel()
    if not np.isin(ids, tokens).all() or not np.array_equal(
        np.concatenate(given), expected[np.searchsorted(tokens, ids)]
    ):
        raise ConfigurationError(f"its texts are not those of its ids: {_DAMAGED}")


def _places(layers: list[int], layout: VisualLayout) -> dict[str, np.ndarray]:
    """int64 [layers x n] each: of every row the layer, and the cell."""
    places = {"layer": np.repeat(np.array(layers, np.int64), len(layout))}
    return places | {name: np.tile(getattr(layout, name), len(layers)) for name in _PLACES[1:]}


def _numbers(words: Words) -> dict[str, np.ndarray]:
    """What the lens measured, [layers, n] or [layers, n, k], by column."""
    numbers = {"id": words.ids, "value": words.values}
    if words.logsumexp is not None and words.entropy is not None:
        numbers |= {"logsumexp": words.logsumexp, "entropy": words.entropy}
    if words.tracked is not None and words.tracked.words:
        numbers |= {"tracked_value": words.tracked.values, "tracked_rank": words.tracked.ranks}
    return numbers


def _check_size(words: int) -> None:
    if words > MAX_WORDS:
        raise ConfigurationError(
            f"{words} words are more than one file holds ({MAX_WORDS}); choose fewer layers or a "
            "smaller k"
        )
