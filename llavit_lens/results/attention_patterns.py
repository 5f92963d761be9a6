"""Attention weights of some tokens on every patch: plain data, without a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.plotting import draw
from llavit_lens.results.result import Result

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from llavit_lens.images.open import ImageSource

Query = str | int | tuple[int, int] | tuple[int, int, int]
"""The token that attends: "last", the prompt's last token; "answer", those that write an answer; a
text that the prompt has once; a token's number; or a patch as (row, column) or (row, column,
tile)."""

Head = int | Literal["mean", "max"]
"""A head from 0, or the mean or the largest weight of all heads that were kept."""


class QueryToken(NamedTuple):
    """A token that attends."""

    asked: Query
    """The query by which the token was chosen."""
    position: int
    """Its index in the prompt, or in prompt and answer."""
    kind: str
    """"last token", "token 17", or "patch at row 2, column 3"."""
    text: str
    """What a text token says; empty for visual ones."""
    cell: int
    """Index of its patch in the layout; -1 for text."""

    @property
    def name(self) -> str:
        """Its name in tables and figures, such as "last token ':'"."""
        return f"{self.kind} {self.text!r}" if self.text else self.kind


@dataclass(eq=False)
class AttentionPatterns(Result):
    """Attention weights of some tokens on the n visual tokens.

    Attributes:
        layers: decoder layers, from 0.
        heads: query heads, from 0.
        queries: the tokens that attend.
        weights: float32 [layers, heads, queries, n], after the softmax over all tokens.
        share_on_visual: float32 [layers, heads, queries], the share of a token's attention that
            goes to the image: the sum over all visual tokens, also those off the image (newlines
            of tiles). The rest goes to text.
        layout: where the n visual tokens lie.
        n_layers: how many layers the model has.
        n_tokens: length of the prompt, with the answer that follows it.
        image: the original image; not saved, None after `load`.
        model, prompt: the model's name, and the question.
        provenance: as `Words.provenance`.
    """

    layers: list[int]
    heads: list[int]
    queries: list[QueryToken]
    weights: np.ndarray
    share_on_visual: np.ndarray
    layout: VisualLayout
    n_layers: int
    n_tokens: int
    image: Image.Image | None
    model: str
    prompt: str
    provenance: dict[str, Any] = field(default_factory=dict)

    def at(self, query: Query | None = None, layer: int = -1, head: Head = "mean") -> np.ndarray:
        """float32 [n], weights on each patch, of a query that was kept; None is the first of them.

        A negative layer counts from the model's last.

        Raises:
            ConfigurationError: a query, layer or head that was not kept.
        """
        return self._reduced(self.weights, query, layer, head)

    def share(self, query: Query | None = None, layer: int = -1, head: Head = "mean") -> float:
        """`share_on_visual` of a query; with "max" the largest of any head."""
        return float(self._reduced(self.share_on_visual, query, layer, head))

    def query(self, query: Query | None = None) -> QueryToken:
        """The token of a query, by which it was chosen or by its position; None is the first.

        Raises:
            ConfigurationError: its pattern was not kept.
        """
        if query is None:
            return self.queries[0]
        for token in self.queries:
            if type(query) is type(token.asked) and query == token.asked:
                return token
            if type(query) is int and query % self.n_tokens == token.position:
                return token
        raise ConfigurationError(
            f"no pattern of {query!r} was kept, only of "
            f"{', '.join(repr(token.asked) for token in self.queries)}: add it to queries"
        )

    def to_pandas(self) -> pd.DataFrame:
        """Tidy: one row per (layer, head, query, patch) with tile, row, col and weight, and the
        query's share_on_visual repeated."""
        n_layers, n_heads, n_queries, n = self.weights.shape
        each = np.indices((n_layers, n_heads, n_queries, n)).reshape(4, -1)
        names = np.array([token.name for token in self.queries], dtype=object)
        columns: dict[str, Any] = {
            "layer": np.array(self.layers)[each[0]],
            "head": np.array(self.heads)[each[1]],
            "query": names[each[2]],
            "query_position": np.array([token.position for token in self.queries])[each[2]],
        }
        for name in ("tile", "row", "col"):
            columns[name] = getattr(self.layout, name)[each[3]]
        columns["weight"] = self.weights.ravel()
        columns["share_on_visual"] = np.repeat(self.share_on_visual.ravel(), n)
        return self._with_origin(columns)

    def plot(
        self,
        query: Query | None = None,
        layer: int = -1,
        head: Head = "mean",
        image: ImageSource | None = None,
    ) -> Figure:
        """The image with each patch colored by its weight, for a query (the first, if None).

        Args:
            query, layer, head: as in `at`.
            image: as in `Words.plot`.

        Raises:
            ConfigurationError: as `at`; or there is no image, or it is another one.
            ImageError: it cannot be read.
        """
        return draw(self, query, layer, head, image)

    def to_bytes(self) -> bytes:
        from llavit_lens.results.attention_patterns_file import encode

        return encode(self)

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> AttentionPatterns:
        from llavit_lens.results.attention_patterns_file import decode

        return decode(data, name)

    def _figure(self) -> Figure:
        return self.plot(layer=max(self.layers))

    def _next(self) -> dict[str, str]:
        plot = f"patterns.plot(layer={self.layers[0]}, head={self.heads[0]})"
        return ({plot: "one layer, one head"} if self.layout.has_map else {}) | {
            f"patterns.share(layer={self.layers[0]})": "how much attention goes to the image",
            "patterns.to_pandas()": "all numbers",
        }

    def __repr__(self) -> str:
        n_queries = len(self.queries)
        return (
            f"AttentionPatterns({self._model}, {len(self.layers)} layers x {len(self.heads)} heads "
            f"x {n_queries} {'query' if n_queries == 1 else 'queries'}, {len(self.layout)} visual "
            "tokens)"
        )

    def layer_number(self, layer: int) -> int:
        """The layer from 0, for one that may count from the model's last.

        Raises:
            ConfigurationError: its patterns were not kept.
        """
        number = layer + self.n_layers if layer < 0 else layer
        if number not in self.layers:
            raise ConfigurationError(
                f"no pattern of layer {layer} was kept, only of layers {_listed(self.layers)}"
            )
        return number

    def _reduced(self, values: np.ndarray, query: Query | None, layer: int, head: Head) -> Any:
        """Of [layers, heads, queries, ...] one layer and query, and one head or all reduced."""
        which = self.queries.index(self.query(query))
        of_heads = values[self.layers.index(self.layer_number(layer)), :, which]
        if head == "mean":
            return of_heads.mean(0)
        if head == "max":
            return of_heads.max(0)
        if head not in self.heads:
            raise ConfigurationError(
                f"no pattern of head {head!r} was kept, only of heads {_listed(self.heads)}; or "
                "give 'mean' or 'max'"
            )
        return of_heads[self.heads.index(int(head))]


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
