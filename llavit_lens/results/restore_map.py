"""What restoring brought back: a table of layers and places, and nothing that needs the model."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from llavit_lens.images.layout import VisualLayout

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Place(NamedTuple):
    """Tokens that are restored together."""

    kind: str
    """"patch", "row", "visual", "object", "last" or "text"."""
    name: str
    """What a person calls it: the object's name, the token's text, "row 3"."""
    tokens: np.ndarray
    """int64 [m], positions in the prompt."""
    cell: int
    """Index of the patch in the layout, of the window's middle; -1 where it is no patch."""


@dataclass(eq=False)
class RestoreMap:
    """Log-probabilities of an answer, in nats, with one state restored at a time.

    Attributes:
        point: the hook point whose activation was restored, such as "resid_pre".
        layers: decoder layers, from 0.
        n_layers: how many the model has.
        places: which tokens were restored together.
        window: patches on each side of what "patch" places restore.
        clean, corrupted: log p(answer) on the two pictures as they are.
        restored: float64 [layers, places], on the corrupted picture with that state of the clean.
        layout: of both pictures.
        question, answer: the prompt and the text whose log-probability it is.
        last_token: position of the prompt's last token.
        model: its name.
        clean_image, corrupted_image: the pictures.
    """

    point: str
    layers: list[int]
    n_layers: int
    places: list[Place]
    window: int
    clean: float
    corrupted: float
    restored: np.ndarray
    layout: VisualLayout
    question: str
    answer: str
    last_token: int
    model: str
    clean_image: Image.Image
    corrupted_image: Image.Image

    @property
    def effect(self) -> np.ndarray:
        """float64 [layers, places]: 0 is the corrupted picture's log-probability, 1 the clean's.

        (restored - corrupted) / (clean - corrupted); below 0 it made the answer less likely, above
        1 likelier than the clean picture does.
        """
        return (self.restored - self.corrupted) / (self.clean - self.corrupted)

    def to_pandas(self) -> pd.DataFrame:
        """Tidy: one row per (layer, place), with tile, row and column for patches (else -1)."""
        n_layers, n = self.restored.shape
        columns: dict[str, Any] = {"layer": np.repeat(self.layers, n)}
        columns["kind"] = [place.kind for place in self.places] * n_layers
        columns["place"] = [place.name for place in self.places] * n_layers
        columns["first_token"] = [int(place.tokens[0]) for place in self.places] * n_layers
        columns["n_tokens"] = [len(place.tokens) for place in self.places] * n_layers
        for name in ("tile", "row", "col"):
            values = getattr(self.layout, name)
            columns[name] = [
                int(values[place.cell]) if place.cell >= 0 else -1 for place in self.places
            ] * n_layers
        columns["log_prob"] = self.restored.ravel()
        columns["effect"] = self.effect.ravel()
        columns["clean_log_prob"] = self.clean
        columns["corrupted_log_prob"] = self.corrupted
        return pd.DataFrame(columns)

    def plot(self, **options: Any) -> Figure:
        """Both pictures, the effect of every patch at some layers, and layers x other places.

        Options are those of `llavit_lens.figures.restore_map.draw_restore_map`.
        """
        # figures stands above interventions and knows it, not the other way round
        figures = import_module("llavit_lens.figures.restore_map")
        return figures.draw_restore_map(self, **options)
