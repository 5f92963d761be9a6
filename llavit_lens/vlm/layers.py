"""Decoder layers and heads as a user names them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import index
from typing import Any, SupportsIndex

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.decoder import Decoder

Layers = str | int | slice | Iterable[int]
"""Decoder layers, counted from 0 as in the names of hook points: "all", one, a slice, a range or
several; negative ones count from the end. (A `Trace` counts states: its state l is what decoder
layer l - 1 put out.)"""

Heads = str | int | slice | Iterable[int] | None
"""Query heads, counted from 0, the same ones in all chosen layers: named like layers; None is all
of them, too."""


def layer_indices(decoder: Decoder, layers: Layers) -> tuple[int, ...]:
    """The chosen decoder layers, ascending.

    Raises:
        ConfigurationError: there is no such layer, or none is chosen.
    """
    return _chosen("layer", layers, decoder.n_layers)


def head_indices(decoder: Decoder, heads: Heads) -> tuple[int, ...] | None:
    """The chosen query heads, ascending, or None for all.

    Raises:
        ConfigurationError: there is no such head, or none is chosen.
    """
    if heads is None or (isinstance(heads, str) and heads == "all"):
        return None
    return _chosen("head", heads, decoder.n_heads)


def in_ranges(numbers: Iterable[int]) -> str:
    """Ascending numbers of layers for a message: [0, 1, 2, 5] -> "0-2, 5"."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs)


def _chosen(what: str, choice: Any, count: int) -> tuple[int, ...]:
    if isinstance(choice, str):
        if choice != "all":
            raise ConfigurationError(
                f"{what}s={choice!r} is not valid; pass 'all', a number, a range, a slice or a "
                "list."
            )
        choice = range(count)
    if isinstance(choice, Mapping):
        raise ConfigurationError(
            f"{what}s={choice!r}: the chosen heads are the same in all chosen layers, so a mapping "
            "is not valid here; open one intervention for each layer, such as layers=2, heads=[0]."
        )
    if isinstance(choice, slice):
        choice = range(count)[choice]
    several = list(choice) if isinstance(choice, Iterable) else [choice]
    for one in several:
        if isinstance(one, bool) or not isinstance(one, SupportsIndex):
            raise ConfigurationError(f"a {what} is a whole number, not {one!r}.")
        if not -count <= index(one) < count:
            raise ConfigurationError(
                f"there is no {what} {one}: the decoder has {count}, numbered 0 to {count - 1} "
                "(negative ones count from the end)."
            )
    if not several:
        raise ConfigurationError(f"no {what} is chosen; the decoder has {count}.")
    return tuple(sorted({index(one) % count for one in several}))
