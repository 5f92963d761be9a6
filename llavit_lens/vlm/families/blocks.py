"""Which tokens of a prompt see each other by the model's own design, whatever their order.

The processor marks them, and the model builds its mask of these marks. They are more than the
patches in some families: tokens that start an image and end its rows, or the whole question.

Shape letters: L tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

Blocks = Callable[[Mapping[str, Any]], Tensor | None]
"""What the processor made of one prompt -> int64 [L], on the CPU: tokens of one number see each
other, those of -1 do not; None where nothing is marked."""


def no_blocks(inputs: Mapping[str, Any]) -> None:
    """Nothing is marked."""


def marked_runs(name: str) -> Blocks:
    """Each run of tokens of type 1 is a block, such as the patches of one image."""

    def blocks(inputs: Mapping[str, Any]) -> Tensor | None:
        is_marked = _marks(inputs, name, 1)
        if is_marked is None:
            return None
        starts = is_marked & ~torch.nn.functional.pad(is_marked, (1, 0))[:-1]
        return torch.where(is_marked, starts.cumsum(0) - 1, -1)

    return blocks


def all_marked(name: str, value: int) -> Blocks:
    """All tokens of a type are one block."""

    def blocks(inputs: Mapping[str, Any]) -> Tensor | None:
        is_marked = _marks(inputs, name, value)
        return None if is_marked is None else torch.where(is_marked, 0, -1)

    return blocks


def _marks(inputs: Mapping[str, Any], name: str, value: int) -> Tensor | None:
    types = inputs.get(name)
    return None if types is None else (types[0] == value).cpu()
