"""The result of an activation-patching sweep: plain data, without a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from PIL import Image

from llavit_lens.errors import printable
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.plotting import draw
from llavit_lens.results.result import Result, image_of

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from llavit_lens.images.open import ImageSource


class Place(NamedTuple):
    """Tokens that are restored together."""

    kind: str
    """"patch", "row", "visual", "object", "last" or "text"."""
    name: str
    """In tables and figures: the object's name, the token's text, "row 3"."""
    tokens: np.ndarray
    """int64 [m], positions in the prompt."""
    cell: int
    """Index of the patch in the layout, of the window's middle; -1 if it is no patch."""

    def __repr__(self) -> str:
        n = len(self.tokens)
        return f"Place({self.kind} {printable(self.name)!r}, {n} token{'s' if n > 1 else ''})"


@dataclass(eq=False)
class RestoreMap(Result):
    """Log-probabilities of an answer, in nats, with one state restored at a time.

    Attributes:
        point: the hook point whose activation was restored, such as "resid_pre".
        layers: decoder layers, from 0.
        n_layers: how many the model has.
        places: which tokens were restored together.
        window: patches on each side of what "patch" places restore.
        clean, corrupted: log p(answer) on the two images as they are.
        restored: float64 [layers, places], on the corrupted image with that state of the clean one.
        layout: of both images.
        question, answer: the prompt, and the text with these log-probabilities.
        last_token: position of the prompt's last token.
        model: its name.
        clean_image, corrupted_image: the images; not saved, None after `load`.
        provenance: as `Words.provenance`, its image_sha256 of the clean image; and
            corrupted_image_sha256.
    """

    _images: ClassVar[tuple[str, ...]] = ("clean_image", "corrupted_image")

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
    clean_image: Image.Image | None
    corrupted_image: Image.Image | None
    provenance: dict[str, Any] = field(default_factory=dict)

    @property
    def effect(self) -> np.ndarray:
        """float64 [layers, places]: 0 as on the corrupted image, 1 as on the clean.

        (restored - corrupted) / (clean - corrupted); below 0 it made the answer less likely, above
        1 likelier than the clean image does.
        """
        return (self.restored - self.corrupted) / (self.clean - self.corrupted)

    def images(
        self, clean: ImageSource | None = None, corrupted: ImageSource | None = None
    ) -> tuple[Image.Image, Image.Image]:
        """The clean and the corrupted image to draw: those given, else those that are kept.

        Raises:
            ConfigurationError, ImageError: as `plot`.
        """
        layout, digest = self.layout, self.provenance.get
        return (
            image_of(clean, self.clean_image, layout, digest("image_sha256"), "clean_image"),
            image_of(
                corrupted,
                self.corrupted_image,
                layout,
                digest("corrupted_image_sha256"),
                "corrupted_image",
            ),
        )

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
        digest = self.provenance.get("corrupted_image_sha256")
        columns["corrupted_image"] = digest and digest[:12]
        return self._with_origin(columns)

    def plot(
        self,
        layers: Sequence[int] | None = None,
        *,
        clean_image: ImageSource | None = None,
        corrupted_image: ImageSource | None = None,
    ) -> Figure:
        """Both images, the effect of every patch at some layers, and layers x other places.

        Args:
            layers: those whose patches are drawn on the image, from 0; default: at most 6 of those
                where a patch has an effect, evenly spread.
            clean_image, corrupted_image: each as `image` in `Words.plot`.

        Raises:
            ConfigurationError: there is no image, or it is another one; or a layer that was not
                computed.
            ImageError: an image cannot be read.
        """
        images = {"clean_image": clean_image, "corrupted_image": corrupted_image}
        return draw(self, layers, **images)

    def to_bytes(self) -> bytes:
        from llavit_lens.results.restore_map_file import encode

        return encode(self)

    @classmethod
    def _from_bytes(cls, data: bytes, name: str) -> RestoreMap:
        from llavit_lens.results.restore_map_file import decode

        return decode(data, name)

    def _next(self) -> dict[str, str]:
        return {
            "restored.to_pandas()": "all numbers",
            'restored.plot().savefig("restored.pdf")': "the figure as a file",
        }

    def __repr__(self) -> str:
        return (
            f"RestoreMap({printable(self.point)} of {self._model}, "
            f"answer '{printable(self.answer, 60)}', "
            f"{len(self.layers)} layers x {len(self.places)} places)"
        )
