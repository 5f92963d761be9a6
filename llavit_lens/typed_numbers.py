"""Layers, tiles and patches, as they are typed on a command line."""

from __future__ import annotations

from typing import Literal

from llavit_lens.errors import ConfigurationError


def parse_layers(text: str, option: str = "--layers") -> list[int] | None:
    """Layer numbers from text like '0,3,-1'; None, which stands for all layers, from 'all'.

    `option` is what messages call it.

    Raises:
        ConfigurationError: the text is neither.
    """
    if text.strip() == "all":
        return None
    numbers = _numbers(text)
    if numbers is None:
        raise ConfigurationError(f"{option} {text!r} is neither 'all' nor numbers like '0,3,-1'")
    return numbers


def parse_vision_layers(text: str) -> int | list[int]:
    """`vision_feature_layer` from text like '-2' or '5,15,23'.

    Raises:
        ConfigurationError: the text is something else.
    """
    numbers = _numbers(text)
    if numbers is None:
        raise ConfigurationError(
            f"--vision-feature-layer {text!r}: give numbers like -2 or 5,15,23"
        )
    return numbers if len(numbers) > 1 else numbers[0]


def parse_tile(text: str) -> int | Literal["grid"]:
    """The number of a tile, or 'grid': all but the one that shows the whole image.

    Raises:
        ConfigurationError: the text is neither.
    """
    if text == "grid":
        return "grid"
    if not text.isdecimal():
        raise ConfigurationError(f"--tile {text!r} is neither a number nor 'grid'")
    return int(text)


def parse_patch(text: str) -> tuple[int, int] | tuple[int, int, int]:
    """(row, column) from text like '3,5'; (row, column, tile) from '3,5,2'.

    Raises:
        ConfigurationError: the text is not two or three whole numbers with commas between.
    """
    match _numbers(text):
        case [row, col]:
            return row, col
        case [row, col, tile]:
            return row, col, tile
    raise ConfigurationError(
        f"--patch {text!r} is not a row and a column like '3,5', nor these and a tile like '3,5,2'"
    )


def _numbers(text: str) -> list[int] | None:
    """Whole numbers with commas between; None for a text that is something else."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        return None
