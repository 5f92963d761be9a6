"""What the files of words by patch and of words by token share: a row per (layer, token).

The column of texts is there for other readers; what it says has to be what the description says.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from llavit_lens.errors import ConfigurationError
from llavit_lens.results.layered_words import LayeredWords, Tracked
from llavit_lens.results.leaders import Leaders, leading_ids
from llavit_lens.results.sealed import DAMAGED, Columns, all_of, check_description

MAX_WORDS = 2**27
"""Layers x tokens x (k + tracked words + leaders) of one file: 134 million, some gigabytes of
memory."""

TYPES: dict[str, tuple[type, ...]] = {
    "kind": (str,),
    "layers": (list,),
    "k": (int,),
    "strings": (dict,),
    "provenance": (dict,),
    "tracked": (list, type(None)),
    "leaders": (int, type(None)),
}
"""Of the parts of a description; that of leaders is how many a token has at most."""

BEFORE_LEADERS = {"leaders": None}
"""What a file says that was written before words had leaders."""


def described(words: LayeredWords) -> dict[str, Any]:
    """The parts of a description.

    Raises:
        ConfigurationError: the words are more than one file holds.
    """
    _check_size(
        words.ids.size
        + (words.tracked.ranks.size if words.tracked else 0)
        + (words.leaders.values.size if words.leaders else 0)
    )
    return {
        "kind": words.kind,
        "layers": words.layers,
        "k": words.k,
        "strings": {str(token): text for token, text in words.strings.items()},
        "provenance": words.provenance,
        "tracked": words.tracked and [words.tracked.words, words.tracked.ids.tolist()],
        "leaders": words.leaders and words.leaders.values.shape[2],
    }


def columns_of(words: LayeredWords) -> dict[str, pa.Array]:
    """Words and numbers by column; to be called within `saving`."""
    "".join(words.strings.values()).encode()  # older pyarrow takes half of a surrogate pair
    texts = [words.strings[token] for token in words.ids.ravel().tolist()]
    columns = {"word": pa.FixedSizeListArray.from_arrays(pa.array(texts, pa.string()), words.k)}
    for name, array in _numbers(words).items():
        flat = pa.array(array.ravel())
        columns[name] = (
            flat if array.ndim == 2 else pa.FixedSizeListArray.from_arrays(flat, array.shape[2])
        )
    return columns


def fields_from(
    description: dict[str, Any], columns: Columns, cells: dict[str, np.ndarray], n: int
) -> dict[str, Any]:
    """The fields of `LayeredWords` in a file.

    Args:
        description: its parts as in `TYPES`, and others.
        columns: of the file.
        cells: int64 [layers x n] each, what the first columns have to be: layer and place.
        n: tokens.

    Raises:
        ConfigurationError: parts or columns that do not fit.
    """
    layers, k, tracked = description["layers"], description["k"], description["tracked"]
    shape = len(layers), n
    followed, leading = len(tracked[0]) if tracked else 0, description["leaders"] or 0
    is_lens = description["kind"] == "logit_lens"
    _check_size(shape[0] * shape[1] * (k + followed + leading))
    types = {name: pa.int64() for name in cells} | _types(is_lens, k, followed, leading)
    columns.check(types, shape[0] * shape[1])
    for name, values in cells.items():
        columns.check_copy(name, values)
    ids = columns.array("id", *shape, k)
    return {
        "kind": description["kind"],
        "layers": layers,
        "ids": ids,
        "values": columns.array("value", *shape, k),
        "logsumexp": columns.array("logsumexp", *shape) if is_lens else None,
        "entropy": columns.array("entropy", *shape) if is_lens else None,
        "strings": {int(token): text for token, text in description["strings"].items()},
        "provenance": description["provenance"],
        "tracked": None if tracked is None else _tracked(tracked, columns, shape),
        "leaders": _leaders(ids, columns, leading) if leading else None,
    }


def check_parts(description: dict[str, Any]) -> None:
    """Whether lists and tables in a description hold what they should."""
    layers, strings = description["layers"], description["strings"]
    tracked = [[], []] if description["tracked"] is None else description["tracked"]
    check_description(
        description["k"] > 0
        and (description["leaders"] is None or description["leaders"] > 0)
        and len(layers) > 0
        and all_of(layers, int)
        and all_of([*strings.values()], str)
        and all(token.isdecimal() and str(int(token)) == token for token in strings)
        and [type(part) for part in tracked] == [list, list]
        and len(tracked[0]) == len(tracked[1])
        and all_of(tracked[0], str)
        and all_of(tracked[1], int)
    )


def check_words_of_ids(words: LayeredWords, columns: Columns) -> None:
    """Whether the column of texts says what `strings` says of the ids."""
    tokens = np.array(sorted(words.strings), np.int64)
    if not np.isin(words.ids, tokens).all():
        raise ConfigurationError(f"its texts are not those of its ids: {DAMAGED}")
    texts = [words.strings[token] for token in tokens.tolist()]
    columns.check_texts("word", texts, np.searchsorted(tokens, words.ids))


def _tracked(tracked: list[list[Any]], columns: Columns, shape: tuple[int, int]) -> Tracked:
    words, ids = tracked
    full = (*shape, len(words))
    return Tracked(
        words=words,
        ids=np.array(ids, np.int64),
        values=columns.array("tracked_value", *full) if words else np.empty(full, np.float32),
        ranks=columns.array("tracked_rank", *full) if words else np.empty(full, np.int64),
    )


def _leaders(ids: np.ndarray, columns: Columns, leading: int) -> Leaders:
    """Which words they are is not in the file: it follows from the ids."""
    values = columns.array("leader_value", *ids.shape[:2], leading)
    return Leaders(leading_ids(ids[:, :, 0]), values)


def _types(is_lens: bool, k: int, followed: int, leading: int) -> dict[str, pa.DataType]:
    """The columns of such words, in their order."""
    types = {"word": pa.list_(pa.dictionary(pa.int32(), pa.string()), k)}
    types |= {"id": pa.list_(pa.int64(), k), "value": pa.list_(pa.float32(), k)}
    if is_lens:
        types |= {"logsumexp": pa.float32(), "entropy": pa.float32()}
    if followed:
        types["tracked_value"] = pa.list_(pa.float32(), followed)
        types["tracked_rank"] = pa.list_(pa.int64(), followed)
    if leading:
        types["leader_value"] = pa.list_(pa.float32(), leading)
    return types


def _numbers(words: LayeredWords) -> dict[str, np.ndarray]:
    """What the lens measured, [layers, n] or [layers, n, k], by column."""
    numbers = {"id": words.ids, "value": words.values}
    if words.logsumexp is not None and words.entropy is not None:
        numbers |= {"logsumexp": words.logsumexp, "entropy": words.entropy}
    if words.tracked is not None and words.tracked.words:
        numbers |= {"tracked_value": words.tracked.values, "tracked_rank": words.tracked.ranks}
    if words.leaders is not None:
        numbers["leader_value"] = words.leaders.values
    return numbers


def _check_size(words: int) -> None:
    if words > MAX_WORDS:
        raise ConfigurationError(
            f"{words} words are more than one file holds ({MAX_WORDS}); choose fewer layers or a "
            "smaller k"
        )
