"""Where a word is read in a corpus of images: what a search of an index returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from llavit_lens.card import card, remark, table, to_type
from llavit_lens.errors import printable
from llavit_lens.results.layered_words import Kind

if TYPE_CHECKING:
    import pandas as pd

Per = Literal["image", "patch", "layer"]
"""What one hit is: an image, a patch of an image, or a patch at one layer; each at its best."""

PLACE = (
    *("image", "source", "layer", "patch", "tile", "row", "col"),
    *("x0", "y0", "x1", "y1", "token", "rank"),
)
"""Columns of `Hits.table`; the last one, after them, is `Hits.value`."""


@dataclass(frozen=True, eq=False)
class Hits:
    """The places of a corpus where a word is among the k best, best first.

    Attributes:
        word: as it was asked for.
        table: one row for each hit: `image` (int, its number in the index), `source` (text, the
            image's name in the corpus), `layer`, `patch` (index in the image's layout), `tile`,
            `row`, `col`, `x0`, `y0`, `x1`, `y1` (pixels of the upright image), `token` (text),
            `rank` (0 = best), and `probability`, or `cosine` for input similarity. Of equal values
            the lower image comes first, then the lower layer, patch and rank.
        tokens: text of each token that was looked for, by its id: all case and space variants.
        pieces: None for a word that is a token. A word of several pieces is found where all its
            pieces are: in one image, patch, or patch at one layer, as `per` says. Its row of
            `table` is that of the piece with the lowest value, and `pieces` has all: one row for
            each hit and piece with `hit` (row of `table`), `token`, `layer`, `patch`, `rank` and
            the value.
        layers: one row for each layer where there are hits: `layer`, `patches`, `images`, and
            `highest`, the best value.
        total: how many hits there are; `table` has at most as many as were asked for.
        n_images: how many images of the corpus were searched.
        n_listed: how many images the corpus has.
        per: what one hit is.
        model: name of the model that read the corpus.
        lens: "logit_lens" (probabilities) or "input_similarity" (cosines).
        index: folder of the index.
        note: what a reader of the hits should know, such as why there are none; or "".
    """

    word: str
    table: pd.DataFrame
    tokens: dict[int, str]
    pieces: pd.DataFrame | None
    layers: pd.DataFrame
    total: int
    n_images: int
    n_listed: int
    per: Per
    model: str
    lens: Kind
    index: str
    note: str = ""

    @property
    def value(self) -> str:
        """The column of `table` that hits are ordered by: "probability" or "cosine"."""
        return "cosine" if self.lens == "input_similarity" else "probability"

    def __len__(self) -> int:
        """How many hits the table has."""
        return len(self.table)

    def __repr__(self) -> str:
        word = repr(printable(self.word, 40))
        shown = f"{len(self)} of {self.total:,} hits" if len(self) < self.total else f"{len(self)}"
        images = f"{self.n_images:,} images"
        return f"Hits({word}: {shown}, by {self.per}, in {images} read by {self._model})"

    def _repr_html_(self) -> str:
        return card(
            repr(self),
            remark(self.note) if self.note else "",
            table(self.table, rows=10, columns=len(PLACE) + 1),
            to_type(
                {
                    "hits.table": "all of them, a pandas DataFrame",
                    "hits.layers": "how often it is read at each layer",
                }
            ),
        )

    def to_pandas(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    @property
    def _model(self) -> str:
        return printable(self.model, 60)
