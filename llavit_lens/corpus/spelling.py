"""Which tokens of an index's vocabulary say a word."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.reading import read_strings
from llavit_lens.corpus.schema import strings_file, tokenizer_folder
from llavit_lens.corpus.sql import folded, paths, reason
from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError, one_line, printable
from llavit_lens.inputs import check_text

_IS_ONE_OF = "list_contains(?::INTEGER[], id)"


@dataclass(frozen=True)
class Spelling:
    """How a vocabulary says a word.

    Attributes:
        word: without spaces around it.
        tokens: text of each token, by its id: whole words, or else all pieces.
        pieces: ids of the pieces of each way to write a word that is no single token, such as in
            capitals; empty for a word that is a token.
    """

    word: str
    tokens: dict[int, str]
    pieces: tuple[tuple[int, ...], ...] = ()

    @property
    def repeats(self) -> bool:
        """Whether a way to write the word has a piece twice."""
        return any(len(set(form)) < len(form) for form in self.pieces)


def spelling(
    index: Index, word: str, exact: bool, connection: duckdb.DuckDBPyConnection
) -> Spelling:
    """The tokens of a word.

    Args:
        index: whose vocabulary it is.
        word: some text.
        exact: only the token that is this text, spaces included; else all tokens that are this text
            in any case, with spaces around it or without.
        connection: to read the vocabulary with.

    Raises:
        ConfigurationError: there is no word, or the vocabulary has neither it nor its pieces; or
            the table of the vocabulary is damaged.
    """
    if not isinstance(word, str):
        raise ConfigurationError(f"the word is a text, not a {type(word).__name__}")
    check_text(word, "the word")
    text = word if exact else unicodedata.normalize("NFC", word).strip()
    if not text:
        spaces = ", or exact=True (--exact) for a token of spaces" if word else ""
        raise ConfigurationError(f"there is no word to look for: type one{spaces}")
    same = "text = ?" if exact else f"{folded('text')} = lower(?)"
    if tokens := _texts(index, same, text, connection):
        return Spelling(text, tokens)
    shown_word = printable(text, 60)
    if exact:
        raise ConfigurationError(
            f"{shown_word!r}: no token is exactly this text; leave out exact (--exact) to look for "
            "it in any case, with a space or without, or in pieces"
        )
    forms = dict.fromkeys((text, text.lower(), text.capitalize(), text.upper()))
    pieces = tuple(dict.fromkeys(filter(None, _pieces(index, forms, connection))))
    if not pieces:
        raise ConfigurationError(
            f"{shown_word!r}: {printable(index.model, 60)} cannot say it: it is not among the "
            f"{index.settings.vocabulary:,} tokens of its vocabulary, not even in pieces; try "
            "another word for it"
        )
    ids = sorted({token for form in pieces for token in form})
    return Spelling(text, _texts(index, _IS_ONE_OF, ids, connection), pieces)


def _texts(
    index: Index, condition: str, value: Any, connection: duckdb.DuckDBPyConnection
) -> dict[int, str]:
    file = strings_file(index.path)
    try:
        rows = connection.execute(
            f"SELECT id, text FROM read_parquet(?, hive_partitioning = false) WHERE {condition} "
            "ORDER BY id",
            [paths([file]), value],
        ).fetchall()
    except duckdb.Error as error:
        read_strings(index)  # raises what to do
        raise ConfigurationError(f"{shown(file)}: cannot be read ({reason(error)})") from error
    return dict(rows)


def _pieces(
    index: Index, forms: Sequence[str] | dict[str, None], connection: duckdb.DuckDBPyConnection
) -> list[tuple[int, ...]]:
    """The pieces of each form, as inside a sentence; empty where one of them is no token."""
    tokenizer, unknown = _tokenizer(index)
    encoded = [tokenizer.encode(f" {form}", add_special_tokens=False).ids for form in forms]
    used = sorted({token for ids in encoded for token in ids} - {unknown})
    if not used:
        return []
    texts = _texts(index, _IS_ONE_OF, used, connection)
    return [
        # a bare space is no piece of the word
        tuple(token for token in ids if texts[token].strip())
        if all(token in texts for token in ids)
        else ()
        for ids in encoded
    ]


def _tokenizer(index: Index) -> tuple[Any, int | None]:
    """The index's tokenizer, without PyTorch, and its id of unknown text."""
    from tokenizers import Tokenizer

    file = tokenizer_folder(index.path) / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # tokenizers has no class of its own
        raise ConfigurationError(
            f"{shown(file)}: cannot be read, so only words that are one token can be looked for "
            f"({one_line(error, 100)})"
        ) from error
    unknown = getattr(tokenizer.model, "unk_token", None)
    return tokenizer, None if unknown is None else tokenizer.token_to_id(unknown)
