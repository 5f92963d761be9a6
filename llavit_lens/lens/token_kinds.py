"""Which tokens of a vocabulary are words, and which are newlines."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from llavit_lens.lens.token_strings import token_strings
from llavit_lens.token_text import is_newline

_KINDS: WeakKeyDictionary[Any, dict[int, tuple[np.ndarray, np.ndarray]]] = WeakKeyDictionary()


def word_tokens(tokenizer: Any, size: int) -> np.ndarray:
    """bool [size]: tokens with a letter or a digit that are no special tokens.

    `size` is that of the unembedding, which is often padded beyond the tokenizer's last id.
    """
    return _kinds(tokenizer, size)[0]


def newline_tokens(tokenizer: Any, size: int) -> np.ndarray:
    """bool [size]: tokens of a newline or several, and white space at most."""
    return _kinds(tokenizer, size)[1]


def _kinds(tokenizer: Any, size: int) -> tuple[np.ndarray, np.ndarray]:
    by_size = _KINDS.setdefault(tokenizer, {})
    if size not in by_size:
        special = {
            *tokenizer.all_special_ids,
            *(i for i, token in tokenizer.added_tokens_decoder.items() if token.special),
        }
        is_word, newline = np.zeros((2, size), bool)
        for i, text in enumerate(token_strings(tokenizer)[:size]):
            hole = text == f"<id {i}>"
            is_word[i] = i not in special and not hole and any(map(str.isalnum, text))
            newline[i] = is_newline(text)
        by_size[size] = is_word, newline
    return by_size[size]
