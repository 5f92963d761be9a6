"""Which tokens of a model say the words that are true of a picture.

The rule is that of the word search (`llavit_lens.lens.follow.tokens_in`): a word is said by the
token of its text and by the one with a space before it; a word that is no single token, by its
first piece, as inside a sentence. A word of which the vocabulary has not even pieces cannot be
said; it is left out, and it is on record that it was.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled import LabelledObject
from llavit_lens.lens.follow import tokens_in

Ids = frozenset[int]
"""Tokens that say one word, or any of several; empty where it cannot be said."""


class Spoken(NamedTuple):
    """What is true of one object, in tokens."""

    name: Ids
    """Empty for a thing without a name, too."""
    words: Ids
    """Of all words that are true of it."""
    attributes: dict[str, Ids]


class Vocabulary:
    """The tokens of words, each looked up once.

    Attributes:
        left_out: words that the model cannot say.
        by_first_piece: words that are no single token.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, Ids] = {}
        self.left_out: set[str] = set()
        self.by_first_piece: set[str] = set()

    def ids(self, word: str) -> Ids:
        """Tokens that say a word."""
        if word not in self._known:
            try:
                found = tokens_in(word, self._tokenizer)
            except ConfigurationError:
                self.left_out.add(word)
                self._known[word] = frozenset()
            else:
                if found.pieces:
                    self.by_first_piece.add(word)
                self._known[word] = frozenset(found.ids)
        return self._known[word]

    def any_of(self, words: Iterable[str]) -> Ids:
        """Tokens that say one of several words."""
        return frozenset().union(*map(self.ids, words))

    def spoken(self, thing: LabelledObject) -> Spoken:
        """The words of an object."""
        return Spoken(
            name=frozenset() if thing.name is None else self.ids(thing.name),
            words=self.any_of(thing.words),
            attributes={kind: self.ids(word) for kind, word in thing.attributes.items()},
        )
