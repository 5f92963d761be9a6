"""Ways to damage bytes and JSON, by a seeded generator."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

NASTY: tuple[Any, ...] = (
    None,
    -1,
    0,
    0.5,
    10**9,
    10**15,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "a\0b",
    "../../x",
    "x" * 5000,
    [],
    [1],
    {},
    {"x": 1},
    True,
)
"""Values that hardly any setting allows."""


def damaged_bytes(data: bytes, random: Random) -> tuple[str, bytes]:
    """What was done, and the bytes after it."""
    place = random.randrange(len(data))
    match random.choice(["cut", "flip", "zeros", "more", "swap"]):
        case "cut":
            return f"cut at {place}", data[:place]
        case "flip":
            flipped = bytearray(data)
            flipped[place] ^= 1 << random.randrange(8)
            return f"bit flipped at {place}", bytes(flipped)
        case "zeros":
            return f"zeros at {place}", data[:place] + bytes(64) + data[place + 64 :]
        case "more":
            return f"bytes put in at {place}", data[:place] + random.randbytes(32) + data[place:]
        case _:
            half = len(data) // 2
            return "halves swapped", data[half:] + data[:half]


def damaged_json(content: Any, random: Random) -> tuple[str, tuple[Any, ...], str]:
    """What was done, the place in the JSON where, and the text after it."""
    content = deepcopy(content)
    places = list(_places(content, ()))
    place = random.choice(places)
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    if random.random() < 0.25:
        del parent[place[-1]]
        done = f"{place} deleted"
    else:
        parent[place[-1]] = random.choice(NASTY)
        done = f"{place} = {parent[place[-1]]!r}"[:200]
    return done, place, json.dumps(content)


def _places(content: Any, above: tuple[Any, ...]) -> Any:
    entries = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    for key, value in entries:
        yield (*above, key)
        yield from _places(value, (*above, key))
