"""The words that a lens reads off tokens of text, of a prompt or an answer: plain data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.inputs import whole_number
from llavit_lens.results.layered_words import Kind, LayerChoice, LayeredWords, Tracked, Word
from llavit_lens.results.leaders import Leaders
from llavit_lens.results.plotting import draw

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(eq=False)
class TokenWords(LayeredWords):
    """The k best words of m tokens of text at every computed layer.

    At a token the model has read all tokens up to it, and what it says there is what comes next: so
    the words of the last layer are its guess of the token after this one.

    Attributes:
        kind: which lens.
        layers: layer numbers, 0 = word embeddings, l = output of decoder layer l.
        ids, values: [layers, m, k], as those of `Words`; logsumexp, entropy [layers, m] too.
        strings, provenance, tracked: as those of `Words`.
        positions: int64 [m], of the tokens in the sequence.
        tokens: texts of the m tokens, with their leading space if they have one.
        prompt_length: tokens of the prompt; those from there on belong to the answer.
        leaders: the words that come first at any layer of a token, at all layers: see `trajectory`.
    """

    _images: ClassVar[tuple[str, ...]] = ()

    kind: Kind
    layers: list[int]
    ids: np.ndarray
    values: np.ndarray
    logsumexp: np.ndarray | None
    entropy: np.ndarray | None
    strings: dict[int, str]
    positions: np.ndarray
    tokens: list[str]
    prompt_length: int
    provenance: dict[str, Any]
    tracked: Tracked | None = None
    leaders: Leaders | None = None

    def token_index(self, token: int | str) -> int:
        """Index in 0..m-1 of a token: by its position in the sequence, or by its text.

        Negative positions count from the last of these tokens.

        Raises:
            ConfigurationError: it is not among these tokens, or there several times.
        """
        if isinstance(token, str):
            found = [i for i, text in enumerate(self.tokens) if text.strip() == token.strip()]
            if len(found) != 1:
                places = ", ".join(map(str, self.positions[found].tolist()))
                often = f"are {len(found)} tokens (at {places})" if found else "is no token"
                raise ConfigurationError(
                    f"there {often} {token!r} among {self._told}: give the number of one"
                )
            return found[0]
        position = whole_number(token, "token")
        if -len(self.tokens) <= position < 0:
            return position + len(self.tokens)
        where = np.flatnonzero(self.positions == position)
        if not len(where):
            raise ConfigurationError(f"token {token} is not among {self._told}")
        return int(where[0])

    def at(self, layer: int, token: int | str) -> list[Word]:
        """The k words at one token, best first. Negative layers: see `layer_index`.

        Args:
            layer: its number.
            token: its position in the sequence, negative from the last one; or its text.

        Raises:
            ConfigurationError: no such layer or token.
        """
        return self._words(self.layer_index(layer), self.token_index(token))

    def trajectory(self, token: int | str) -> pd.DataFrame:
        """The words that come first at any layer of one token, through all layers.

        As the table of `Words.trajectory`.

        Args:
            token: as in `at`.

        Raises:
            ConfigurationError: no such token; or these words hold no trajectories.
        """
        return self._trajectory(self.token_index(token))

    def to_pandas(self) -> pd.DataFrame:
        """Tidy: one row per (layer, position, rank) with token, word, id and value.

        The logit lens adds probability and entropy (of the token, repeated over its ranks).
        """
        n_layers, m, k = self.ids.shape
        columns: dict[str, Any] = {
            "layer": np.repeat(self.layers, m * k),
            "position": np.tile(np.repeat(self.positions, k), n_layers),
            "token": [text for _ in self.layers for text in self.tokens for _ in range(k)],
            "rank": np.tile(np.arange(k), n_layers * m),
            "word": [self.strings[token] for token in self.ids.ravel().tolist()],
            "id": self.ids.ravel(),
            "value": self.values.ravel(),
        }
        if self.entropy is not None:
            columns["probability"] = np.exp(self.values.ravel())
            columns["entropy"] = np.repeat(self.entropy.ravel(), k)
        return self._with_origin(columns)

    def by_token(self, layers: int | Iterable[int] | None = None) -> pd.DataFrame:
        """The best word at every token: one row for each, one column for each layer.

        Args:
            layers: which layers, in this order, or one of them; negative ones as in `at`. Default:
                all that were computed.

        Raises:
            ConfigurationError: no such layer.
        """
        import pandas as pd

        best = self._best_words(layers)
        names = pd.MultiIndex.from_arrays([self.positions, self.tokens], names=["token", "text"])
        return pd.DataFrame(best, index=names).rename_axis(columns="layer")

    def plot(
        self,
        layers: LayerChoice | None = None,
        tokens: slice | None = None,
        *,
        scale: Literal["data", "fixed"] = "data",
        title: str | None = None,
    ) -> Figure:
        """Layers up, tokens across: the best word in each cell, darker where it is likelier.

        Args:
            layers: see `layers_chosen`; default: at most 16, evenly spread, the last among them.
            tokens: which of the tokens; default: the last 24.
            scale: where the colors end: "data" at the largest value drawn, "fixed" at 1 (100 %),
                so that figures compare.
            title: the headline; default: the model's name.

        Raises:
            ConfigurationError: no such layer, or no token.
        """
        return draw(self, layers, tokens, scale=scale, title=title)

    def to_bytes(self) -> bytes:
        from llavit_lens.results.token_words_file import encode

        return encode(self)

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> TokenWords:
        from llavit_lens.results.token_words_file import decode

        return decode(data, name)

    def _overview(self) -> pd.DataFrame:
        return self.by_token()

    def _next(self) -> dict[str, str]:
        layer = self.layers[len(self.layers) // 2]
        followed = {"words.trajectory(-1)": "the words that lead there at any layer, at all layers"}
        return {
            f"words.at({layer}, -1)": "all words at the last token",
            **(followed if self.leaders is not None else {}),
            "words.by_token()": "the best word at every token and layer",
            "words.to_pandas()": "all numbers",
        }

    @property
    def _told(self) -> str:
        first, last = self.positions[[0, -1]].tolist()
        return f"these {len(self.tokens)} tokens, {first} to {last} of the sequence"

    def __repr__(self) -> str:
        n_layers, m = len(self.layers), len(self.tokens)
        followed = f", {len(self.tracked.words)} tracked words" if self.tracked else ""
        return (
            f"TokenWords({self.kind} of {self._model}, {n_layers} layer{'s' * (n_layers > 1)} x "
            f"{m} token{'s' * (m > 1)}, k={self.k}{followed})"
        )
