"""The file of `TokenWords`: one row per (layer, token), everything else in the description."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from llavit_lens.results.check import check_array, expect
from llavit_lens.results.layered_words_file import (
    BEFORE_LEADERS,
    TYPES,
    check_parts,
    check_words_of_ids,
    columns_of,
    described,
    fields_from,
)
from llavit_lens.results.sealed import Columns, SealedFormat, all_of, check_description, saving
from llavit_lens.results.token_words import TokenWords
from llavit_lens.results.words_check import check_layered

FORMAT = SealedFormat(
    name="TokenWords",
    key="llavit_lens.token_words",
    number=2,
    types={**TYPES, "positions": (list,), "tokens": (list,), "prompt_length": (int,)},
    dictionaries=("word.list.element",),
    former={1: BEFORE_LEADERS},
)


def encode(words: TokenWords) -> bytes:
    """See `Result.to_bytes`."""
    check_token_words(words)
    positions = words.positions.tolist()
    description = {
        **described(words),
        "positions": positions,
        "tokens": words.tokens,
        "prompt_length": words.prompt_length,
    }
    with saving():
        cells = _cells(words.layers, positions)
        places = {name: pa.array(values) for name, values in cells.items()}
        "".join(words.tokens).encode()
        return FORMAT.encode(description, {**places, **columns_of(words)})


def decode(data: bytes, name: str) -> TokenWords:
    """See `Result.load`; `name` is what messages call the file."""
    return FORMAT.decode(data, name, _decoded)


def _decoded(description: dict[str, Any], columns: Columns) -> TokenWords:
    check_parts(description)
    positions, tokens = description["positions"], description["tokens"]
    check_description(all_of(positions, int) and all_of(tokens, str))
    cells = _cells(description["layers"], positions)
    words = TokenWords(
        **fields_from(description, columns, cells, len(positions)),
        positions=np.array(positions, np.int64),
        tokens=tokens,
        prompt_length=description["prompt_length"],
    )
    check_words_of_ids(words, columns)
    check_token_words(words)
    return words


def check_token_words(words: TokenWords) -> None:
    """Look at every part, whatever type a damaged file gave it.

    Raises:
        ConfigurationError: the first part that is wrong.
    """
    m = len(words.positions)
    expect(m > 0, "no tokens")
    check_array(words.positions, np.int64, (m,), "positions")
    expect(
        bool((words.positions >= 0).all() and (np.diff(words.positions) > 0).all()),
        "tokens that are not in the order of the sequence, each once",
    )
    expect(
        isinstance(words.tokens, list)
        and len(words.tokens) == m
        and all(isinstance(text, str) for text in words.tokens),
        "not one text for each token",
    )
    expect(type(words.prompt_length) is int and words.prompt_length > 0, "no length of the prompt")
    check_layered(words, m)


def _cells(layers: list[int], positions: list[int]) -> dict[str, np.ndarray]:
    """int64 [layers x m] each: the layer of every row, and the token's position."""
    return {
        "layer": np.repeat(np.array(layers, np.int64), len(positions)),
        "position": np.tile(np.array(positions, np.int64), len(layers)),
    }
