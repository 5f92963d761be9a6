"""What two or more lenses read off one image, side by side."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.results.matching import matched_layer, partners
from llavit_lens.results.plotting import draw
from llavit_lens.results.shown import Shown
from llavit_lens.results.words import LayerChoice, Words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from llavit_lens.images.layout import Tile
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.truth import Truth


def compare(*words: Words, names: Sequence[str] | None = None) -> Comparison:
    """Hold words of one image side by side: of two models or more, or of one with and without a
    change.

        both = ll.compare(ll.logit_lens(a.trace(image)), ll.logit_lens(b.trace(image)))
        both.plot(layer=[0, 2, -1])
        table = both.to_pandas()

    Args:
        words: two or more, of one kind of lens.
        names: what to call them; default: the names of their models.

    Raises:
        ConfigurationError: fewer than two, of different images or lenses; or `names` do not fit.
    """
    if len(words) < 2 or not all(isinstance(each, Words) for each in words):
        raise ConfigurationError("compare takes two Words or more, as ll.logit_lens returns them")
    if len({each.kind for each in words}) > 1:
        raise ConfigurationError(
            "a logit_lens cannot be held against an input_similarity; take one of them"
        )
    digests = {each.provenance.get("image_sha256") for each in words} - {None}
    if len(digests) > 1 or len({each.layout.image_size for each in words}) > 1:
        raise ConfigurationError(
            "these words were read from different images; compare words of one image"
        )
    if names is None:
        return Comparison(words, tuple(_names(words)))
    given = [] if isinstance(names, str) or not isinstance(names, Iterable) else list(names)
    chosen = tuple(map(str, given))
    if len(chosen) != len(words) or len(set(chosen)) < len(words):
        raise ConfigurationError(f"names must be {len(words)} different names, one for each Words")
    return Comparison(words, chosen)


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Shown):
    """Words of one image by several models; the first is the one that others are held against.

    A layer of the first is held against the one at the same share of the depth in the others, a
    patch against the one nearest to it on the image.

    Attributes:
        words: of each model.
        names: what they are called.
    """

    words: tuple[Words, ...]
    names: tuple[str, ...]

    def layer_of(self, number: int, layer: int) -> int:
        """The layer of `words[number]` that fits `layer`, a layer's number of the first.

        Raises:
            ConfigurationError: a model's depth is not on record, or the layer was not computed.
        """
        first, other = self.words[0], self.words[number]
        layer = first.layers[first.layer_index(layer)]
        if other.kind == "logit_lens" and number > 0:
            depth, its_depth = (each.provenance.get("n_layers") for each in (first, other))
            if depth is not None and its_depth is not None:
                layer = matched_layer(layer, depth, its_depth)
            elif first.layers != other.layers:
                raise ConfigurationError(
                    "the depth of a model is not on record, so its layers cannot be matched; "
                    "compare words of the same layers"
                )
        return other.layers[other.layer_index(layer)]

    def to_pandas(self) -> pd.DataFrame:
        """Where they differ: one row per (other, layer, tile, row, col) of the first words.

        word, value (and probability, of the logit lens) are the first's; other_model, other_layer,
        other_word, other_value, other_probability the other's. `same`: the two top words are equal.
        `shared`: how many of the k words of each are among the other's, as a share of k, the
        smaller k if they differ; 1 - shared is a measure of difference that needs no model. (The
        explorer's measure needs the probability of each word in both models, so it needs traces.)

        Raises:
            ConfigurationError: as `layer_of`.
        """
        tables = [self._table(number) for number in range(1, len(self.words))]
        return pd.concat(tables, ignore_index=True)

    def _table(self, number: int) -> pd.DataFrame:
        first, other = self.words[0], self.words[number]
        n = len(first.layout)
        partner = partners(first.layout, other.layout)
        k = min(first.k, other.k)
        layers = [self.layer_of(number, layer) for layer in first.layers]
        index = [other.layers.index(layer) for layer in layers]
        own, its = first.ids[..., :k], other.ids[index][:, partner, :k]
        texts, its_texts = _texts(first, own), _texts(other, its)
        shared = (texts[..., :, None] == its_texts[..., None, :]).any(-1).mean(-1)
        columns: dict[str, Any] = {
            "model": self.names[0],
            "other_model": self.names[number],
            "layer": np.repeat(first.layers, n),
            "other_layer": np.repeat(layers, n),
        }
        for name in ("tile", "row", "col"):
            columns[name] = np.tile(getattr(first.layout, name), len(layers))
        values = {"": first.values[..., 0], "other_": other.values[index][:, partner, 0]}
        for prefix, words in (("", texts), ("other_", its_texts)):
            columns[f"{prefix}word"] = words[..., 0].ravel()
            columns[f"{prefix}value"] = values[prefix].ravel()
            if first.kind == "logit_lens":
                columns[f"{prefix}probability"] = np.exp(values[prefix].ravel())
        columns["same"] = (texts[..., 0] == its_texts[..., 0]).ravel()
        columns["shared"] = shared.ravel()
        digest = first.provenance.get("image_sha256")
        return pd.DataFrame(columns).assign(image=digest and digest[:12])

    def plot(
        self,
        layer: LayerChoice = -1,
        image: ImageSource | None = None,
        *,
        truth: Truth | None = None,
        tile: Tile | None = None,
        scale: Literal["data", "fixed"] = "data",
        title: str | None = None,
    ) -> Figure:
        """The image, and beside it a row for each model and a column for each layer.

        Args:
            layer: of the first model, as in `Words.plot`; the others' are those that fit it.
            image, truth, tile, scale, title: as in `Words.plot`.

        Raises:
            ConfigurationError, ImageError: as `Words.plot` and `layer_of`.
        """
        return draw(self, layer, image, truth=truth, tile=tile, scale=scale, title=title)

    def _has_images(self) -> bool:
        return self.words[0].image is not None

    def _figure(self) -> Figure:
        layers = self.words[0].layers
        return self.plot(layers[len(layers) // 2])

    def _next(self) -> dict[str, str]:
        return {
            'both.plot(layer="all")': "all layers",
            "both.to_pandas()": "where they differ",
        }

    def __repr__(self) -> str:
        first = self.words[0]
        names = ", ".join(printable(name, 60) for name in self.names)
        return (
            f"Comparison({first.kind} of {names}; {len(first.layers)} layers x "
            f"{len(first.layout)} visual tokens)"
        )


def _names(words: Sequence[Words]) -> list[str]:
    """The models' names; with a number where two are called alike."""
    models = [str(each.provenance.get("model", "model")) for each in words]
    return [
        f"{model} ({models[: i + 1].count(model)})" if models.count(model) > 1 else model
        for i, model in enumerate(models)
    ]


def _texts(words: Words, ids: np.ndarray) -> np.ndarray:
    """The texts of ids, of the same shape."""
    unique, where = np.unique(ids, return_inverse=True)
    texts = np.array([words.strings[token_id] for token_id in unique.tolist()], dtype=object)
    return texts[where].reshape(ids.shape)
