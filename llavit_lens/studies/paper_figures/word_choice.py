"""Which of a patch's top words are shown where the authors chose "the two most sensible" by hand.

The rule: whole words first, in order of rank, each once. What is no whole word (a newline,
punctuation, a special token, a piece of a word) is shown only where no whole word is left, so that
a patch that reads as nothing is seen to read as nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

RULE = (
    "Two of the top 3 words are shown: whole words in order of their rank, each once; a newline, "
    "punctuation or a piece of a word (gray) only where no whole word is left."
)


class Vocabulary:
    """All tokens of a model, which tell whole words from pieces of words."""

    def __init__(self, tokens: Iterable[str]) -> None:
        self._tokens = frozenset(tokens)
        # else every token is a word, as in the demo's vocabulary
        self._marks_words = any(t.startswith(" ") and t.strip() for t in self._tokens)

    def is_word(self, token: str) -> bool:
        """Whether a token, with its leading space if it has one, is a whole word.

        It consists of letters and digits, perhaps with a hyphen or apostrophe inside, and is more
        than one letter. Where the vocabulary has words with a space before them, it has this one
        so: ' dog' and 'dog', but not 'ibernate'. (The start of a word, ' gir', looks like a word.)
        """
        word = token.strip(" ")
        if not _is_spelled_like_a_word(word) or (
            len(word) == 1 and word.isalpha() and _cased(word)
        ):
            return False
        # scripts without capitals often have no spaces, either: there the vocabulary cannot decide
        return not (self._marks_words and _cased(word)) or f" {word}" in self._tokens


def choose_words(words: Sequence[str], vocabulary: Vocabulary, count: int) -> list[int]:
    """Indices of the `count` words to show of a patch's top words, in the order to show them.

    Args:
        words: token texts, best first.
    """
    seen: set[str] = set()
    whole = []
    for rank, word in enumerate(words):
        plain = word.strip().casefold()
        if vocabulary.is_word(word) and plain not in seen:
            seen.add(plain)
            whole.append(rank)
    rest = [rank for rank in range(len(words)) if rank not in whole]
    return [*whole, *rest][:count]


def _is_spelled_like_a_word(word: str) -> bool:
    parts = word.replace("’", "'").replace("-", "'").split("'")
    return all(part and all(unicodedata.category(c)[0] in "LMN" for c in part) for part in parts)


def _cased(word: str) -> bool:
    return word.lower() != word.upper()
