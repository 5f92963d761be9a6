"""Words at several layers of a model: what the tables of patches and of tokens of text share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import whole_number
from llavit_lens.results.leaders import Leaders
from llavit_lens.results.result import Result

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["logit_lens", "input_similarity"]


LayerChoice = int | Iterable[int] | slice | Literal["all"]
"""One layer or several: see `Words.layers_chosen`."""


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

    def __repr__(self) -> str:
        if self.probability is None:
            return f"Word({self.word!r}, cosine {self.value:.3g})"
        return f"Word({self.word!r}, {self.probability:.3g})"


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

    def __repr__(self) -> str:
        n_layers, n, _ = self.values.shape
        return f"Tracked({self.words}, {n_layers} layers x {n} visual tokens)"


class LayeredWords(Result):
    """A base of dataclasses. Attributes: see `Words`; n counts patches, or tokens of text."""

    kind: Kind
    layers: list[int]
    ids: np.ndarray
    values: np.ndarray
    logsumexp: np.ndarray | None
    entropy: np.ndarray | None
    strings: dict[int, str]
    provenance: dict[str, Any]
    tracked: Tracked | None
    leaders: Leaders | None

    @property
    def k(self) -> int:
        return self.ids.shape[2]

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

    def _best_words(self, layers: int | Iterable[int] | None) -> dict[int, list[str]]:
        """The text of the best word at every token, by layer; None is all layers."""
        wanted = self.layers if layers is None else layers
        chosen = [
            self.layer_index(layer)
            for layer in (wanted if isinstance(wanted, Iterable) else [wanted])
        ]
        return {
            self.layers[i]: [self.strings[token] for token in self.ids[i, :, 0].tolist()]
            for i in chosen
        }

    def layers_chosen(self, layer: LayerChoice) -> list[int]:
        """The numbers of the layers that are meant.

        Args:
            layer: a number as in `layer_index`; several of them, such as `[0, 2, -1]` or
                `range(0, 33, 8)`; a slice of the numbers, such as `slice(None, None, 4)`, for those
                of them that were computed; or "all" of those.

        Raises:
            ConfigurationError: as `layer_index`; no layer at all, or no slice of numbers.
        """
        if isinstance(layer, str):
            if layer != "all":
                raise ConfigurationError(f"layer must be numbers or 'all', not {layer!r}")
            return list(self.layers)
        if isinstance(layer, slice):
            try:
                inside = range(max(self.layers) + 1)[layer]
            except (TypeError, ValueError) as error:  # not of numbers, or with a step of 0
                raise ConfigurationError(
                    f"layer={layer!r} is no slice of layers: {error}"
                ) from error
            chosen = [number for number in self.layers if number in inside]
        elif isinstance(layer, Iterable):
            chosen = [self.layers[self.layer_index(number)] for number in layer]
        else:
            chosen = [self.layers[self.layer_index(layer)]]
        if not chosen:
            raise ConfigurationError(f"layer={layer!r} means none of the layers computed")
        return chosen

    def _words(self, layer: int, token: int) -> list[Word]:
        """The k words at an index of `layers` and one in 0..n-1, best first."""
        where = layer, token
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

    def _trajectory(self, token: int) -> pd.DataFrame:
        """See `Words.trajectory`; of a token in 0..n-1."""
        import pandas as pd

        if self.kind != "logit_lens":
            raise ConfigurationError(
                "input similarity reads one layer, so there is nothing to follow; use logit_lens"
            )
        if self.leaders is None:
            raise ConfigurationError(
                "these words hold no trajectories: they were read with leaders=False, or saved by "
                "an earlier version; read the image again with logit_lens(trace)"
            )
        ids = self.leaders.ids[token]
        ids = ids[ids >= 0]
        values, n_layers = self.leaders.values[:, token, : len(ids)], len(self.layers)
        return pd.DataFrame(
            {
                "layer": np.repeat(self.layers, len(ids)),
                "word": [self.strings[token_id] for token_id in ids.tolist()] * n_layers,
                "id": np.tile(ids, n_layers),
                "probability": np.exp(values.ravel()),
                "log_probability": values.ravel(),
                "is_top": (self.ids[:, token, :1] == ids).ravel(),
            }
        )
