"""What a token looks like to a person: one id -> string table per tokenizer."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

_TABLES: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()
# Decoders treat the first piece of a text specially (they strip its space), so every token is
# decoded after this one.
_BEFORE = "a"


def token_strings(tokenizer: Any) -> list[str]:
    """The text of every id, with its leading space where it has one ('Ġdog', '▁dog' -> ' dog').

    Bytes that are no text by themselves show as U+FFFD, special tokens as they are written, and a
    newline is the real character.
    """
    table = _TABLES.get(tokenizer)
    if table is None or len(table) != len(tokenizer):
        table = _build(tokenizer)
        _TABLES[tokenizer] = table
    return table


def string_of(table: list[str], token_id: int) -> str:
    """One entry; unembeddings are often padded beyond the tokenizer's last id."""
    return table[token_id] if token_id < len(table) else f"<id {token_id}>"


def _build(tokenizer: Any) -> list[str]:
    added = {index: token.content for index, token in tokenizer.added_tokens_decoder.items()}
    pieces = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    table = []
    for index, piece in enumerate(pieces):
        if index in added:
            table.append(added[index])
        elif piece is None:  # a hole in the vocabulary
            table.append(f"<id {index}>")
        elif decoder is None:  # whole words
            table.append(piece)
        else:
            text = decoder.decode([_BEFORE, piece])
            table.append(text[len(_BEFORE) :] if text.startswith(_BEFORE) else piece)
    return table
