"""The picture that is looked at: an example scene with its truth, or one from outside."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from llavit_lens.errors import ImageError
from llavit_lens.explorer.view import OWN
from llavit_lens.miniature.scenes import example_names, example_path, example_truth, sharper_path

if TYPE_CHECKING:
    from PIL import Image

    from llavit_lens.vlm.layout import VisualLayout

MOST_UPLOADED = 20 * 1024 * 1024
"""Bytes of a picture from a browser."""
MOST_PIXELS = 40_000_000


@dataclass(frozen=True, eq=False)
class Picture:
    """What models are given, and what people are shown of it.

    Attributes:
        name: of an example scene, or `OWN`.
        image: for the model.
        shown: for people: the same picture, maybe sharper.
        sha256: identity of `image`.
    """

    name: str
    image: Image.Image
    shown: Image.Image
    sha256: str

    def truth(self, layout: VisualLayout) -> list[Collection[str] | None] | None:
        """For each visual token the words that are true of its patch; None where not known."""
        if self.name == OWN:
            return None
        truth = example_truth(self.name)
        if layout.grid != (truth.owner.shape,):
            return None
        cells = zip(layout.row.tolist(), layout.col.tolist(), strict=True)
        return [truth.words(row, col) or None for row, col in cells]


@lru_cache(maxsize=16)
def example(name: str) -> Picture:
    """An example scene; the first one for "".

    Raises:
        ConfigurationError: there is no such scene.
    """
    from llavit_lens.vlm.images import open_image, pixel_sha256  # PyTorch comes with it

    path = example_path(name or None)
    image = open_image(path)
    return Picture(path.stem, image, open_image(sharper_path(path)), pixel_sha256(image))


def uploaded(data: bytes, name: str = "the picture") -> Picture:
    """A picture from a browser.

    Raises:
        ImageError: it is too large, or no picture.
    """
    from llavit_lens.vlm.images import open_image, pixel_sha256

    if len(data) > MOST_UPLOADED:
        raise ImageError(
            f"{name}: {len(data) / 2**20:.0f} MB are more than the limit of "
            f"{MOST_UPLOADED // 2**20} MB; scale it down first"
        )
    image = open_image(data, max_pixels=MOST_PIXELS, max_bytes=MOST_UPLOADED, name=name)
    return Picture(OWN, image, image, pixel_sha256(image))


def title(name: str) -> str:
    """An example scene's name as people read it."""
    return name.replace("-", ", ")


__all__ = ["MOST_UPLOADED", "Picture", "example", "example_names", "title", "uploaded"]
