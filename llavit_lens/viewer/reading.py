"""What one pane of a view shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from llavit_lens.results.words import Words


class Reading(Protocol):
    """The words of one model, of one image and prompt."""

    @property
    def words(self) -> Words:
        """The logit lens."""

    @property
    def similarity(self) -> Words:
        """The input similarity (Eq. 4)."""

    @property
    def depth(self) -> int:
        """Number of the model's decoder layers."""

    @property
    def vocabulary(self) -> int:
        """Number of the words that the lens ranks."""
