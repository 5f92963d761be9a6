"""A passage of ordinary text, and how words are put into its sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from llavit_lens.miniature.recipe.lexicon import POOLS

Turns = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Passage:
    """A text (may be empty: world knowledge) and its (question, answer) turns (may be none)."""

    context: str
    turns: Turns = ()


def sample(rng: Random, slot: str, n: int) -> list[str]:
    """Up to `n` different words of a slot's pool."""
    return rng.sample(POOLS[slot], min(n, len(POOLS[slot])))


def with_article(word: str) -> str:
    """The word after its indefinite article."""
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def fill(rng: Random, template: str, **pools: Sequence[str]) -> str:
    """Replace each slot by a random word of its pool, with the right article.

    A pool in `pools` goes before the one in POOLS.
    """
    words: list[str] = []
    for token in template.split():
        pool = pools.get(token) or POOLS.get(token)
        word = rng.choice(pool) if pool else token
        if pool and words and words[-1] == "a":
            words[-1:] = with_article(word).split()
        else:
            words.append(word)
    return " ".join(words)


def put(template: str, subject: str, value: str) -> str:
    """A sentence of RELATIONS about this subject and this value."""
    pair = {"S": subject, "V": value}
    return " ".join(pair.get(token, token) for token in template.split())
