"""What one pane of a view shows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from llavit_lens.results.words import Words


class Reading(Protocol):
    """The words of one model, of one image and prompt: by one lens, or by two."""

    @property
    def words(self) -> Words | None:
        """The logit lens."""

    @property
    def similarity(self) -> Words | None:
        """The input similarity (Eq. 4)."""

    @property
    def depth(self) -> int:
        """Number of the model's decoder layers."""

    @property
    def vocabulary(self) -> int:
        """Number of the words that the lens ranks."""


@dataclass(frozen=True, eq=False)
class WordsReading:
    """A `Reading` made of nothing but results, one at least: no model, no trace."""

    words: Words | None = None
    similarity: Words | None = None

    @property
    def lead(self) -> Words:
        """The logit lens if there is one."""
        lead = self.words or self.similarity
        assert lead is not None
        return lead

    @property
    def depth(self) -> int:
        """As the record says; otherwise the last layer that was read."""
        last = max(self.lead.layers)
        depth = self.lead.provenance.get("n_layers")
        return max(last, depth) if isinstance(depth, int) else last

    @property
    def vocabulary(self) -> int:
        """As the record says; files of earlier versions have none: then the least that it can be,
        by the ids and by the entropy."""
        size = self.lead.provenance.get("vocabulary")
        if isinstance(size, int) and size > 1:
            return size
        entropy = self.lead.entropy
        spread = 0.0 if entropy is None else float(entropy.max())
        return max(2, int(self.lead.ids.max()) + 1, math.ceil(math.exp(min(spread, 30.0))))
