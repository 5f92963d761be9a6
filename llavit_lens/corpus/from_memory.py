"""A Python list of images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from llavit_lens.corpus.image_list import ImageList, as_text
from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import ImageSource
from llavit_lens.shipped import named_example


class GivenImages(ImageList):
    """Images that a caller gives: paths have their own names, others "image 0", "image 1", …"""

    def __init__(self, images: Sequence[ImageSource]) -> None:
        """Paths are made whole, as other processes may work elsewhere.

        Raises:
            ConfigurationError: the list is empty, or has a path twice.
            ImageError: there is no example scene of that name.
        """
        if not images:
            raise ConfigurationError("the list holds no image; give one or more")
        names = [
            as_text(str(image)) if isinstance(image, str | Path) else f"image {number}"
            for number, image in enumerate(images)
        ]
        places: dict[str, int] = {}
        for number, name in enumerate(names):
            if (before := places.setdefault(name, number)) != number:
                raise ConfigurationError(
                    f"{shown(name)} is in the list twice, at {before} and {number}; give each "
                    "image once: list(dict.fromkeys(images))"
                )
        super().__init__(names, {})
        self._images = [_whole(image) for image in images]

    def read(self, number: int) -> ImageSource:
        return self._images[number]


def one_image(path: Path, name: str | None = None) -> GivenImages:
    """One image in a file; `name` for one that has another name than its file."""
    images = GivenImages([path])
    images.names = [as_text(name or path.name)]
    images.origin = {"images": name or os.path.abspath(path)}
    return images


def _whole(image: ImageSource) -> ImageSource:
    if isinstance(image, str):
        image = named_example(image) or image
        if not image:
            raise ImageError("the name of an image is empty; give one")
    return Path(os.path.abspath(image)) if isinstance(image, str | Path) else image
