"""The words that a lens reads off each patch: plain data, without a model."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from PIL import Image

from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.layered_words import Kind, LayerChoice, LayeredWords, Tracked, Word
from llavit_lens.results.leaders import Leaders
from llavit_lens.results.plotting import draw, show

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from llavit_lens.images.layout import Tile
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.truth import Truth
    from llavit_lens.viewer.viewer import Viewer

__all__ = ["Kind", "LayerChoice", "Tracked", "Word", "Words", "surest_layer"]


@dataclass(eq=False)
class Words(LayeredWords):
    """The k best words of every visual token at every computed layer.

    Attributes:
        kind: which lens.
        layers: layer numbers, 0 = projector output, l = output of decoder layer l.
        ids: int64 [layers, n, k], best first.
        values: float32 [layers, n, k], log-probabilities or cosines.
        logsumexp: float32 [layers, n]; logit = value + logsumexp. None for cosines.
        entropy: float32 [layers, n], of the distribution over the whole vocabulary, in nats. None
            for cosines.
        strings: text of every id in `ids` and `tracked`.
        layout: where the n visual tokens lie.
        provenance: model, revision, n_layers, vocabulary, prompt, image_sha256, versions.
        tracked: chosen words, or None.
        image: the original image; not saved, None after `load`.
        leaders: the words that come first at any layer of a patch, at all layers: see `trajectory`.
            None for cosines, and where they were not asked for.
    """

    kind: Kind
    layers: list[int]
    ids: np.ndarray
    values: np.ndarray
    logsumexp: np.ndarray | None
    entropy: np.ndarray | None
    strings: dict[int, str]
    layout: VisualLayout
    provenance: dict[str, Any]
    tracked: Tracked | None = None
    image: Image.Image | None = None
    leaders: Leaders | None = None

    def at(self, layer: int, row: int, col: int, tile: int | None = None) -> list[Word]:
        """The k words of one patch, best first. Negative layers: see `layer_index`.

        Args:
            tile: of an image that the model sees in several; default: the one that shows it whole.

        Raises:
            ConfigurationError: no such layer or patch; or visual tokens are no patches.
        """
        where = self.layer_index(layer), self.layout.index(row, col, tile)
        return self._words(*where)

    def trajectory(self, row: int, col: int, tile: int | None = None) -> pd.DataFrame:
        """The words that come first at any layer of one patch, through all layers.

        Tidy: one row per (layer, word) with id, probability, log_probability, and is_top: whether
        the word comes first at this layer. The words stand in the order in which they come to lead.

        Args:
            tile: as in `at`.

        Raises:
            ConfigurationError: as `at`; or these words hold no trajectories: they are cosines, were
                read with `leaders=False`, or come from a file of an earlier version.
        """
        return self._trajectory(self.layout.index(row, col, tile))

    def to_pandas(self) -> pd.DataFrame:
        """Tidy: one row per (layer, tile, row, col, rank) with word, id and value.

        The logit lens adds probability and entropy (of the patch, repeated over its ranks).
        """
        n_layers, n, k = self.ids.shape
        columns: dict[str, Any] = {"layer": np.repeat(self.layers, n * k)}
        for name in ("tile", "row", "col"):
            columns[name] = np.tile(np.repeat(getattr(self.layout, name), k), n_layers)
        columns["rank"] = np.tile(np.arange(k), n_layers * n)
        columns["word"] = [self.strings[token_id] for token_id in self.ids.ravel().tolist()]
        columns["id"] = self.ids.ravel()
        columns["value"] = self.values.ravel()
        if self.entropy is not None:
            columns["probability"] = np.exp(self.values.ravel())
            columns["entropy"] = np.repeat(self.entropy.ravel(), k)
        return self._with_origin(columns)

    def by_token(self, layers: int | Iterable[int] | None = None) -> pd.DataFrame:
        """The best word of every visual token: one row for each, one column for each layer.

        The index has the token's position in the prompt, and the row, column and tile of its patch;
        or its number, where visual tokens are queries that read the whole image. Text has no row,
        nor have the newlines that end rows of tiles. A cell holds the text of the best word only;
        `to_pandas` has its probability and the others.

        Args:
            layers: which layers, in this order, or one of them; negative ones as in `at`. Default:
                all that were computed.

        Raises:
            ConfigurationError: no such layer.
        """
        import pandas as pd

        best = self._best_words(layers)
        layout = self.layout
        places = {"token": layout.positions}
        if layout.has_map:
            places |= {"row": layout.row, "col": layout.col, "tile": layout.tile}
        else:
            places |= {"query": np.arange(len(layout))}
        tokens = pd.MultiIndex.from_arrays([*places.values()], names=[*places])
        return pd.DataFrame(best, index=tokens).rename_axis(columns="layer")

    def plot(
        self,
        layer: LayerChoice = -1,
        image: ImageSource | None = None,
        *,
        truth: Truth | None = None,
        tile: Tile | None = None,
        scale: Literal["data", "fixed"] = "data",
        title: str | None = None,
        ax: Axes | None = None,
    ) -> Figure:
        """The image, and it again for each layer with the best word on each patch.

        Patches side by side with the same word share a label; a word stands there only if it can
        be read, in 5 points or more. Large grids make larger figures.

        Args:
            layer: one layer, or several: see `layers_chosen`.
            image: the one that the words were read from, or a sharper or smaller copy of it, in
                any form that `VLM.trace` takes; needed after `Words.load`, which has none.
            truth: for each visual token the words that are true of its patch (None: unknown), or a
                `LabelledImage` of the image; right words then have a green outline.
            tile: of an image that the model sees in several tiles: the number of one, or "grid"
                for all that show parts of it; default: the whole image.
            scale: where the colors end: "data" at the largest value drawn, "fixed" at 1 (100 %),
                so that figures compare.
            title: the headline; default: the model's name.
            ax: matplotlib axes to draw one layer on, without the image beside it and a legend.

        Raises:
            ConfigurationError: no such layer or tile; there is no image, or it is another one;
                `truth` does not fit; or visual tokens are no patches.
            ImageError: the image cannot be read.
        """
        return draw(self, image, layer, truth=truth, tile=tile, scale=scale, title=title, ax=ax)

    def show(
        self,
        other: Words | None = None,
        *,
        layer: int | None = None,
        truth: Truth | None = None,
        image: ImageSource | None = None,
        titles: Sequence[str] | None = None,
        k: int | None = None,
        height: int = 640,
        live: bool = False,
    ) -> Viewer:
        """The words on their image, to look at: hover, layer slider, word search, pinned patch.

        In a notebook the view shows itself; `words.show().save("view.html")` writes it as a page.

        Args:
            other: words of another model (or prompt) of the same image, side by side; or the other
                lens of the same trace, which is shown together with this one.
            layer: where the view starts, as in `at`; default: where the model is surest.
            truth: for each visual token the words that are true of its patch (None: unknown), or a
                `LabelledImage` of the image.
            image: the one that the words were read from, or a sharper or smaller copy of it;
                needed after `Words.load`, which has none.
            titles: what stands above the panes; default: the models' names.
            k: how many words of each patch the view holds; default: all, or as many as keep the
                page small.
            height: of the view in a notebook, in CSS pixels.
            live: whether clicks come back to Python, as `Viewer.selected`; needs anywidget.

        Raises:
            ConfigurationError: as `llavit_lens.show`.
            ImageError: the image cannot be read.
        """
        both = (self,) if other is None else (self, other)
        return show(
            *both,
            layer=layer,
            truth=truth,
            image=image,
            titles=titles,
            k=k,
            height=height,
            live=live,
        )

    def to_bytes(self) -> bytes:
        from llavit_lens.results.words_file import encode

        return encode(self)

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> Words:
        from llavit_lens.results.words_file import decode

        return decode(data, name)

    def _about(self) -> str:
        layer = surest_layer(self)
        of_all = f" of {self.provenance['n_layers']}" if self.provenance.get("n_layers") else ""
        if self.entropy is None:
            return f"Layer {layer}{of_all}"
        return f"Layer {layer}{of_all}, where the model is surest: the least mean entropy"

    def _figure(self) -> Figure:
        return self.plot(surest_layer(self))

    def _overview(self) -> pd.DataFrame:
        return self.by_token()

    def _next(self) -> dict[str, str]:
        layer, layout = self.layers[len(self.layers) // 2], self.layout
        what = "patch" if layout.has_map else "visual token"
        tables = {
            "words.by_token()": f"the best word of every {what} at every layer",
            "words.to_pandas()": "all numbers",
        }
        if not layout.has_map:
            return tables
        code = {
            "words.show()": "all layers, to look at with the mouse",
            f"words.plot(layer={layer})": "one layer",
        }
        if len(cells := layout.of_tile()):
            middle = cells[len(cells) // 2]
            row, col = layout.row[middle], layout.col[middle]
            tile = "" if layout.view != "grid" else f", tile={layout.tile[middle]}"
            code[f"words.at({layer}, row={row}, col={col}{tile})"] = "all words of a patch"
            if self.leaders is not None:
                follow = f"words.trajectory(row={row}, col={col}{tile})"
                code[follow] = "the words that lead there at any layer, at all layers"
        return code | tables

    def __repr__(self) -> str:
        followed = f", {len(self.tracked.words)} tracked words" if self.tracked else ""
        n_layers = len(self.layers)
        return (
            f"Words({self.kind} of {self._model}, {n_layers} layer{'s' * (n_layers > 1)} x "
            f"{len(self.layout)} visual tokens, k={self.k}{followed})"
        )


def surest_layer(words: Words) -> int:
    """The number of the layer at which the model is surest of its words: the least mean entropy.
    Of the input similarity its only one."""
    if words.entropy is None:
        return words.layers[0]
    return words.layers[int(words.entropy[:, words.layout.on_image].mean(axis=1).argmin())]
