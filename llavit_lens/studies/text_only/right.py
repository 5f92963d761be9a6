"""When an answer in words is right: by its first word."""

from __future__ import annotations

import re

_ARTICLES = ("a", "an", "the")
_CLAUSE_END = re.compile(r"[.,:;!?()\n]|\s[-–—]\s")


def is_right(text: str, answer: str) -> bool:
    """Whether both start with the same word; an article in front of it does not count.

    An answer that is an article, such as the letter A, has to stand alone up to the first mark or
    line's end: "A." and "A: a dog", not "A dog".
    """
    words, expected = plain_words(text), plain_words(answer)
    if expected and set(expected) <= set(_ARTICLES):
        clauses = map(plain_words, _CLAUSE_END.split(text))
        return next((clause for clause in clauses if clause), []) == expected
    return bool(expected) and _content(expected) in (words[:1], _content(words))


def plain_words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation around them."""
    words = (word.strip(".,:;!?()\"'").lower() for word in text.split())
    return [word for word in words if word]


def _content(words: list[str]) -> list[str]:
    """The first word that is no article, or the last."""
    first = next((word for word in words if word not in _ARTICLES), None)
    return words[-1:] if first is None else [first]
