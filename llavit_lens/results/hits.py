"""Where a word is read in a corpus of images: what a search of an index returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from llavit_lens.card import remark
from llavit_lens.errors import printable
from llavit_lens.results import plotting
from llavit_lens.results.layered_words import Kind
from llavit_lens.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from PIL import Image

_FEW = 8  # tiles in a notebook

Per = Literal["image", "patch", "layer"]
"""What one hit is: an image, a patch of an image, or a patch at one layer; each at its best."""

PLACE = (
    *("image", "source", "layer", "patch", "tile", "row", "col"),
    *("x0", "y0", "x1", "y1", "token", "rank"),
)
"""Columns of `Hits.table`; the last one, after them, is `Hits.value`."""


@dataclass(frozen=True, eq=False)
class Hits(Shown):
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
            `highest`, the best value. For a word that is a token, `patches` and `images` are those
            where it is read at this layer, whatever `per` says. For a word of several pieces a row
            has the hits at the layer of their lowest piece, so that each hit counts once, and
            `patches` is how many hits these are.
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

    def plot(
        self,
        *,
        most: int = 40,
        columns: int = 4,
        images: str | Path | Callable[[int], Image.Image] | None = None,
    ) -> Figure:
        """A contact sheet: the best hits, each in its image.

        Args:
            most: how many of them are drawn, best first; at most 200.
            columns: how many stand side by side.
            images: where the images are now, if they moved since they were read: as `source_of`
                takes it, or a function from an image's number to the image.

        Raises:
            ConfigurationError: `most` or `columns` is no such number; or there is no such index.
        """
        return plotting.draw(self, most=most, columns=columns, images=images)

    def sheet(
        self,
        path: str | Path,
        *,
        most: int = 40,
        images: str | Path | Callable[[int], Image.Image] | None = None,
    ) -> None:
        """Write a contact sheet: a figure (.png, .pdf, .svg), or a page of one file (.html).

        Args:
            path: of the file.
            most, images: as in `plot`.

        Raises:
            ConfigurationError: another suffix, `most` is no such number, or the file cannot be
                written.
        """
        plotting.sheet(self, path, most=most, images=images)

    def to_pandas(self) -> pd.DataFrame:
        """A copy of `table`."""
        return self.table.copy()

    def _has_images(self) -> bool:
        return True  # where they were, or else a gray tile says so

    def _figure(self) -> Figure:
        return self.plot(most=_FEW)

    def _shown(self) -> list[str]:
        return super()._shown() if len(self) else [remark(self.note)]

    def _about(self) -> str | None:
        return self.note or None

    def _overview(self) -> pd.DataFrame:
        return self.table

    def _next(self) -> dict[str, str]:
        return {
            "hits.table": "all of them, a pandas DataFrame",
            "hits.layers": "how often it is read at each layer",
            'hits.sheet("sheet.html")': "the best patches, to look at in a browser",
        }

    @property
    def _model(self) -> str:
        return printable(self.model, 60)
