"""The words that a lens reads off each patch: plain data, without a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.inputs import whole_number
from llavit_lens.results.plotting import draw
from llavit_lens.results.result import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from llavit_lens.images.open import ImageSource


Kind = Literal["logit_lens", "input_similarity"]


class Word(NamedTuple):
    """One word that a lens read."""

    word: str
    """Token text, with its leading space if it has one."""
    id: int
    """Token id."""
    value: float
    """Log-probability (logit lens) or cosine (input similarity)."""
    probability: float | None
    """exp(value) for the logit lens, None for a cosine."""


class Tracked(NamedTuple):
    """Chosen words, followed through all layers and patches. T words."""

    words: list[str]
    """[T], token texts."""
    ids: np.ndarray
    """int64 [T]."""
    values: np.ndarray
    """float32 [layers, n, T], as `Words.values`."""
    ranks: np.ndarray
    """int64 [layers, n, T], 0 = the best word of the whole vocabulary."""


@dataclass(eq=False)
class Words(Result):
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
        provenance: model, revision, n_layers, prompt, image_sha256, versions.
        tracked: chosen words, or None.
        image: the original image; not saved, None after `load`.
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

    @property
    def k(self) -> int:
        return self.ids.shape[2]

    def at(self, layer: int, row: int, col: int, tile: int = 0) -> list[Word]:
        """The k words of one patch, best first. Negative layers: see `layer_index`.

        Raises:
            ConfigurationError: no such layer or patch.
        """
        where = self.layer_index(layer), self.layout.index(row, col, tile)
        return [
            Word(
                word=self.strings[token_id],
                id=token_id,
                value=value,
                probability=float(np.exp(value)) if self.kind == "logit_lens" else None,
            )
            for token_id, value in zip(
                self.ids[where].tolist(), self.values[where].tolist(), strict=True
            )
        ]

    def layer_index(self, layer: int) -> int:
        """Index into `layers` and all arrays.

        Negative layers count from the last that the lens can read: the model's last for the logit
        lens, even if it was not computed; layer 0, its only one, for input similarity.

        Raises:
            ConfigurationError: the layer was not computed, or it is negative and the depth of the
                model is not on record.
        """
        number = whole_number(layer, "layer")
        if number < 0:
            last = self.provenance.get("n_layers") if self.kind == "logit_lens" else 0
            if last is None:
                raise ConfigurationError(
                    f"layer {layer}: the model's depth is not on record; give the layer's number"
                )
            number += last + 1
        if number not in self.layers:
            raise ConfigurationError(
                f"layer {layer} is not among those computed: {', '.join(map(str, self.layers))}"
            )
        return self.layers.index(number)

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
        return self._with_origin(pd.DataFrame(columns))

    def plot(self, layer: int = -1, image: ImageSource | None = None, **options: Any) -> Figure:
        """The image with the best word on each patch.

        Args:
            layer: as in `at`.
            image: the one that the words were read from, or a sharper or smaller copy of it, in
                any form that `VLM.trace` takes; needed after `Words.load`, which has none.
            options: of `figures.draw_patch_words`.

        Raises:
            ConfigurationError: there is no image, or it is another one.
            ImageError: it cannot be read.
        """
        return draw(self, image, layer=layer, **options)

    def to_bytes(self) -> bytes:
        from llavit_lens.results.words_file import encode

        return encode(self)

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> Words:
        from llavit_lens.results.words_file import decode

        return decode(data, name)

    def __repr__(self) -> str:
        followed = f", {len(self.tracked.words)} tracked words" if self.tracked else ""
        return (
            f"Words({self.kind} of {self._model}, {len(self.layers)} layers x {len(self.layout)} "
            f"visual tokens, k={self.k}{followed})"
        )
