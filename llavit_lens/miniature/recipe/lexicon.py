"""The words of ordinary text by topic, and the tables of its sentences.

The words come from `assets/lexicon.json` (topic -> words), the sentences from
`assets/general_text.json`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import resources
from typing import Any


def _asset(name: str) -> dict[str, Any]:
    file = resources.files("llavit_lens").joinpath("assets", name)
    return json.loads(file.read_text(encoding="utf-8"))


_GROUPS: dict[str, dict[str, list[str]]] = _asset("lexicon.json")
LEXICON: dict[str, list[str]] = {t: ws for topics in _GROUPS.values() for t, ws in topics.items()}
KINDS, FIELDS = _GROUPS["kinds"], _GROUPS["fields"]
TOPIC_OF = {w: t for topics in (KINDS, FIELDS) for t, ws in topics.items() for w in ws}

_TABLES = _asset("general_text.json")
NUMBERS: tuple[str, ...] = tuple(_TABLES["numbers"])
FUNCTION_WORDS: tuple[str, ...] = (".", ",", "?", ":", *NUMBERS, *_TABLES["grammar_words"])


def _pool(topics: Iterable[str]) -> tuple[str, ...]:
    return tuple(w for topic in topics for w in LEXICON[topic])


# A slot of a template is an upper-case word; it stands for any word of its pool.
POOLS: dict[str, tuple[str, ...]] = {
    **{slot: _pool(topics) for slot, topics in _TABLES["slots"].items()},
    "NUMBER": NUMBERS,
    "NOUN": tuple(TOPIC_OF),
    "WORD": _pool(LEXICON),
}
# (statement, paraphrase, subject slot, value slot, question about the value, about the subject)
RELATIONS: tuple[tuple[str, ...], ...] = tuple(map(tuple, _TABLES["relations"]))
# (comparative, its inverse, superlative, inverse superlative)
SCALES: tuple[tuple[str, ...], ...] = tuple(map(tuple, _TABLES["scales"]))
# relation -> (axis, inverse)
SIDES: dict[str, tuple[str, ...]] = {side: tuple(row) for side, row in _TABLES["sides"].items()}
# ITEMS: the words of the list.
LIST_HEADS: tuple[str, ...] = tuple(_TABLES["list_heads"])
# TOPIC: a word of the topic of the passage; LABEL: the name of that topic.
PROSE: tuple[str, ...] = tuple(_TABLES["prose"])


def lexicon_words() -> list[str]:
    """All distinct content words, sorted: the words of every topic and the names of the topics."""
    return sorted({w for words in LEXICON.values() for w in words} | {*KINDS, *FIELDS})
