"""Which tokens of a model say the words that are true of an image.

The rule is that of the word search (`llavit_lens.lens.follow.tokens_in`): a word is said by the
token of its text and by the one with a space before it, here as it is written, in lower case or
with a capital first letter: "dog", "Dog". A word that is no single token in any of these is said by
its first piece as it is written, as inside a sentence. A word of which the vocabulary has not even
pieces cannot be said; it is left out, and the result reports it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.labelled_images import LabelledObject
from llavit_lens.lens.follow import Tokens, tokens_in

Ids = frozenset[int]
"""Tokens that say one word, or any of several; empty where it cannot be said."""


class ObjectTokens(NamedTuple):
    """What is true of one object, in tokens."""

    name: Ids
    """Also empty for an object without a name."""
    words: Ids
    """Of all words that are true of it."""
    attributes: dict[str, Ids]


class WordTokens:
    """The tokens of words, each looked up once.

    Attributes:
        left_out: words that the model cannot say.
        by_first_piece: words that are no single token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._ids: dict[str, Ids] = {}
        self.left_out: set[str] = set()
        self.by_first_piece: set[str] = set()

    def ids(self, word: str) -> Ids:
        """Tokens that say a word."""
        if word not in self._ids:
            written, *others = map(self._tokens, (word, word.lower(), word.capitalize()))
            forms = (written, *others)
            whole = [tokens for tokens in forms if tokens is not None and not tokens.pieces]
            if written is None and not whole:
                self.left_out.add(word)
            elif written is not None and not whole:
                self.by_first_piece.add(word)
                whole = [written]
            self._ids[word] = frozenset(token for tokens in whole for token in tokens.ids)
        return self._ids[word]

    def _tokens(self, word: str) -> Tokens | None:
        try:
            return tokens_in(word, self._tokenizer)
        except ConfigurationError:
            return None

    def any_of(self, words: Iterable[str]) -> Ids:
        """Tokens that say one of several words."""
        return frozenset().union(*map(self.ids, words))

    def of_object(self, thing: LabelledObject) -> ObjectTokens:
        """The tokens of an object's words."""
        return ObjectTokens(
            name=frozenset() if thing.name is None else self.ids(thing.name),
            words=self.any_of(thing.words),
            attributes={kind: self.ids(word) for kind, word in thing.attributes.items()},
        )
