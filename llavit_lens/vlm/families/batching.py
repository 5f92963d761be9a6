"""How prompts of a family become one batch, where that is not as in most families."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Batching:
    """What has to be known of a family to join the arguments of several prompts.

    Attributes:
        answer_type: what `token_type_ids` say of the tokens of an answer.
        axes: of arguments about images that follow each other along another axis than the first.
        fills_up: smaller images may be filled up with zeros to the size of the largest, and the
            model leaves those out.
    """

    answer_type: int = 0
    axes: Mapping[str, int] = field(default_factory=dict)
    fills_up: bool = True


USUAL = Batching()
"""Of most families."""
