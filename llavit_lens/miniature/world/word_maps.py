"""Scenes as text for the small language model: one word for each patch, in raster order.

This is a shortcut, and the model cards say so. Qwen and Vicuna have read tables, maps and ASCII art
in their trillions of tokens; a model of a million weights that has read only sentences made little
of sixty-four tokens in raster order. No image is involved: visual tokens must learn by themselves
to look like the words of a map.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from llavit_lens.miniature.world.concepts import BACKGROUNDS, CONCEPTS, POSITIONS, SIGN_WORDS
from llavit_lens.miniature.world.scenes import GRID, PATCH, SIZE, Truth

PLACE_WEIGHT = 0.6
MAP_WORDS = frozenset({"sign", "text", *SIGN_WORDS, *SIGN_WORDS.values(), *BACKGROUNDS}).union(
    *(concept.words for concept in CONCEPTS.values()), *POSITIONS
)


def word_map(truth: Truth, rng: random.Random) -> list[str]:
    """One word for each of the GRID x GRID patches, drawn from the words that are true of it; at
    the edge of a thing, where none is, the background's."""
    return [_word(truth, row, col, rng) for row in range(GRID) for col in range(GRID)]


def _word(truth: Truth, row: int, col: int, rng: random.Random) -> str:
    thing = truth.thing(row, col)
    if thing is None:
        below = (row + 0.5) * PATCH > truth.scene.horizon
        return next(iter(truth.background(row, col)), truth.scene.backgrounds[below])
    if thing.kind == "sign":
        words = [thing.word, "sign", "text", SIGN_WORDS[thing.word]]
    else:
        concept = CONCEPTS[thing.name]
        words = [concept.name, concept.category, concept.color, concept.trait]
    return rng.choices(words, (0.58, 0.14, 0.14, 0.14))[0]


def map_places() -> list[str]:
    """The ninth of the image that each patch lies in, e.g. `top-left`, in raster order."""
    ninth = [int((i + 0.5) * PATCH * 3) // SIZE for i in range(GRID)]
    return [POSITIONS[ninth[row]][ninth[col]] for row in range(GRID) for col in range(GRID)]


def with_places(embed: nn.Module, ids: Tensor, places: Tensor) -> Tensor:
    """Embeddings of tokens, those of a map's words with their place's name added, PLACE_WEIGHT
    times: what position embeddings of a vision tower bring into visual tokens.

    Args:
        embed: the language model's input embeddings.
        ids: int [batch, sequence].
        places: int [batch, sequence], the token of the place's name, -1 outside of maps.
    """
    where = torch.where(places[..., None] >= 0, embed(places.clamp(min=0)), 0)
    return embed(ids) + PLACE_WEIGHT * where


def add_places(llm: nn.Module, args: tuple, kwargs: Mapping[str, Any]) -> tuple[tuple, dict]:
    """Forward pre-hook of a language model that takes `place_ids` too, see `with_places`."""
    rest = dict(kwargs)
    ids, places = rest.pop("input_ids"), rest.pop("place_ids")
    embed = llm.get_input_embeddings()  # type: ignore[operator]
    return args, {**rest, "inputs_embeds": with_places(embed, ids, places)}
