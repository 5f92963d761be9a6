"""The image that models look at: an example scene with its truth, or one from outside."""

from __future__ import annotations

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePath
from typing import TYPE_CHECKING

from llavit_lens.errors import ImageError
from llavit_lens.explorer.view import OWN, number_in_corpus
from llavit_lens.miniature.example import example
from llavit_lens.miniature.world.scenes import example_path, example_truth, sharper_path
from llavit_lens.viewer.image_url import LARGEST_SHOWN, scaled_to

if TYPE_CHECKING:
    from PIL import Image

    from llavit_lens.images.layout import VisualLayout
    from llavit_lens.miniature.world.scenes import Scene

PATIENCE = 60.0
"""Seconds to wait while other visitors' images are decoded."""
_DECODER = ThreadPoolExecutor(1, "explorer-decoder")
"""One image at a time on this server: while an image is decoded, there are several copies of it.
The thread stays the same, since each thread would keep its own memory for the next image."""


@dataclass(frozen=True)
class Limits:
    """What images a page accepts from outside.

    Attributes:
        max_bytes: of an uploaded file.
        max_pixels: of the image in it.
        max_side: pixels of the longer side of what is kept and given to models: larger images are
            scaled down; None: they are not.
    """

    max_bytes: int
    max_pixels: int
    max_side: int | None = None


LOCAL = Limits(20 * 1024 * 1024, 40_000_000)
PUBLIC = Limits(10 * 1024 * 1024, 16_000_000, LARGEST_SHOWN)


@dataclass(frozen=True, eq=False)
class InputImage:
    """What models are given, and what people see of it.

    Attributes:
        name: of an example scene, `OWN`, or an image of an index (`view.corpus_picture`).
        pixels: for the model.
        display: for people: the same image, maybe sharper.
        sha256: identity of `pixels`.
        file_name: of the user's file, or in the corpus; "" if it has none.
    """

    name: str
    pixels: Image.Image
    display: Image.Image
    sha256: str
    file_name: str = ""

    @property
    def nbytes(self) -> int:
        """Pillow holds 4 bytes for a pixel."""
        images = {id(image): image for image in (self.pixels, self.display)}
        return sum(4 * image.width * image.height for image in images.values())

    @property
    def shown_size(self) -> tuple[int, int]:
        """(width, height) in pixels of what people see."""
        scale = min(1, LARGEST_SHOWN / max(self.display.size))
        width, height = (max(1, round(length * scale)) for length in self.display.size)
        return width, height

    @property
    def is_example(self) -> bool:
        """Whether it is one of the scenes that come with the package."""
        return self.name != OWN and number_in_corpus(self.name) is None

    @property
    def scene(self) -> Scene | None:
        """What was drawn; None if unknown."""
        return example_truth(self.name).scene if self.is_example else None

    def truth(self, layout: VisualLayout) -> list[Collection[str] | None] | None:
        """For each visual token the words that are true of its patch; None if unknown."""
        if not self.is_example:
            return None
        return [*example(self.name).true_words(layout)]


@lru_cache(maxsize=16)
def example_image(name: str) -> InputImage:
    """An example scene; the first one for "".

    Raises:
        ConfigurationError: there is no such scene.
    """
    from llavit_lens.images.open import open_image, pixel_sha256

    path = example_path(name or None)
    pixels = open_image(path)
    return InputImage(path.stem, pixels, open_image(sharper_path(path)), pixel_sha256(pixels))


def uploaded_image(data: bytes, name: str = "the image", limits: Limits = LOCAL) -> InputImage:
    """An image from a browser, decoded and scaled down once.

    Raises:
        ImageError: it is too large, or no image; or too many others are being decoded.
    """
    if len(data) > limits.max_bytes:
        raise ImageError(
            f"{name}: {len(data) / 2**20:.0f} MB are more than the limit of "
            f"{limits.max_bytes // 2**20} MB; scale it down first"
        )
    work = _DECODER.submit(_decoded, data, name, limits)
    try:
        return work.result(PATIENCE)
    except TimeoutError as error:
        work.cancel()
        raise ImageError(
            f"{name}: many images are being read at this time; try again later"
        ) from error


def _decoded(data: bytes, name: str, limits: Limits) -> InputImage:
    from llavit_lens.images.open import open_image, pixel_sha256

    pixels = open_image(data, max_pixels=limits.max_pixels, max_bytes=limits.max_bytes, name=name)
    if limits.max_side is not None:
        pixels = scaled_to(pixels, limits.max_side)
    file_name = name if PurePath(name).suffix else ""
    return InputImage(OWN, pixels, pixels, pixel_sha256(pixels), file_name)


def example_title(name: str) -> str:
    """An example scene's name as people read it."""
    return name.replace("-", ", ")
