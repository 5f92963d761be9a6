"""What a lens reads off each patch: a table of words, and nothing that needs the model."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from llavit_lens.disk import read_bytes, shown, write_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.inputs import whole_number

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
class Words:
    """The k best words of every visual token at every layer asked for.

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
        image: the original picture; not saved, None after `load`.
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
        lens, whichever were computed; layer 0, its only one, for input similarity.

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
        return pd.DataFrame(columns)

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
        # figures stands above the lens and knows it, not the other way round
        figures = import_module("llavit_lens.figures.patch_words")
        return figures.draw_patch_words(self, image, layer=layer, **options)

    def to_bytes(self) -> bytes:
        """The contents of the file that `save` writes.

        Raises:
            ConfigurationError: parts of the words do not fit together, or cannot be saved.
        """
        from llavit_lens.results.words_file import encode

        return encode(self)

    def save(self, path: str | Path) -> None:
        """One Parquet file, one row per (layer, patch); `load` gives back an equal object.

        Raises:
            ConfigurationError: as `to_bytes`; or the file cannot be written.
        """
        contents = self.to_bytes()
        with write_atomically(path) as unfinished:
            unfinished.write_bytes(contents)

    @classmethod
    def load(cls, source: str | Path | bytes | bytearray | memoryview) -> Words:
        """Reads what `save` wrote, or the bytes of it.

        Raises:
            ConfigurationError: no such file, not one of ours, or one that was damaged or changed.
        """
        from llavit_lens.results.words_file import MAX_BYTES, decode

        if isinstance(source, (bytes, bytearray, memoryview)):
            contents = bytes(source)
            return decode(contents, f"the {len(contents)} bytes given")
        return decode(read_bytes(source, max_bytes=MAX_BYTES), shown(source))

    def __eq__(self, other: object) -> bool:
        """All but the picture, which is not part of the result."""
        if not isinstance(other, Words):
            return NotImplemented
        plain = ("kind", "layers", "strings", "layout", "provenance")
        arrays = ("ids", "values", "logsumexp", "entropy")
        return (
            all(getattr(self, name) == getattr(other, name) for name in plain)
            and all(_same(getattr(self, name), getattr(other, name)) for name in arrays)
            and _same_tracked(self.tracked, other.tracked)
        )

    __hash__ = None  # type: ignore[assignment]


def _same(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.dtype == b.dtype and np.array_equal(a, b)


def _same_tracked(a: Tracked | None, b: Tracked | None) -> bool:
    if a is None or b is None:
        return a is b
    return a.words == b.words and all(_same(x, y) for x, y in zip(a[1:], b[1:], strict=True))
