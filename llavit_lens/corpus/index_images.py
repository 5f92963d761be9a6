"""The images of an index, opened where they were when it was made."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from llavit_lens.corpus.image_list import ImageList
from llavit_lens.corpus.index import read_index
from llavit_lens.corpus.schema import IMAGES
from llavit_lens.corpus.sources import source_of
from llavit_lens.disk import user_path
from llavit_lens.errors import ImageError, LlavitLensError
from llavit_lens.images.open import open_image, pixel_sha256

GONE = "The image is not there any more."
CHANGED = "The image has changed since it was read."
UNKNOWN = "The index does not say where its images are."
ELSEWHERE = "The images are not where they were when they were read."
UNREADABLE = "The image could not be read."


class _Row(NamedTuple):
    source: str
    sha256: str | None


class IndexImages:
    """Images by their numbers in an index. Threads may share it."""

    def __init__(self, index: str | Path, images: str | Path | None = None) -> None:
        """No list of images is read yet.

        Args:
            index: folder of the index.
            images: where the images are now, as `source_of` takes it; default: where they were.

        Raises:
            ConfigurationError: there is no index, or one that cannot be read.
        """
        self._index = read_index(index)
        self._origin = self._index.origin if images is None else {"images": images}

    def open(self, image: int) -> Image.Image:
        """The upright image, of exactly the pixels that were read.

        Raises:
            ImageError: there is none; the message says why in one sentence, and has no path.
        """
        row = self._row(image)
        if row is None or row.sha256 is None:
            raise ImageError(UNREADABLE)
        file = self._file(row.source)
        number = self._place(image, row.source) if file is None else 0
        try:
            opened = open_image(file or self._list.read(number))
        except LlavitLensError as error:
            raise ImageError(GONE if _is_missing(error) else UNREADABLE) from error
        if pixel_sha256(opened) != row.sha256:
            raise ImageError(CHANGED)
        return opened

    def name(self, image: int) -> str:
        """The image's name in its list; "" where the index has no such image."""
        row = self._row(image)
        return "" if row is None else row.source

    def _row(self, image: int) -> _Row | None:
        """What the index says of an image; None: it has none of this number."""
        file = self._index.file(IMAGES, image // self._index.settings.images_per_shard)
        columns, filters = ["source", "sha256"], [("image", "=", image)]
        try:
            table = pq.read_table(file, columns=columns, filters=filters)
        except (OSError, ValueError, pa.ArrowException):
            return None
        rows = table.to_pylist()
        return _Row(rows[0]["source"], rows[0]["sha256"]) if rows else None

    def _file(self, source: str) -> Path | None:
        """The image's file where its list is a folder: the folder need not be walked for it."""
        images, inside = self._origin.get("images"), Path(source)
        if len(self._origin) > 1 or not isinstance(images, str | Path):
            return None
        if inside.is_absolute() or ".." in inside.parts:  # no list of a folder has such a name
            return None
        try:
            file = user_path(images) / inside
            return file if file.is_file() else None
        except (OSError, ValueError):  # no name of a file, as members of tars may have; else said
            return None

    def _place(self, image: int, source: str) -> int:
        """The image's place in the list of today: others may have come or gone."""
        names = self._list.names
        if image < len(names) and names[image] == source:
            return image
        try:
            return self._places[source]
        except KeyError as error:
            raise ImageError(GONE) from error

    @cached_property
    def _list(self) -> ImageList:
        if not self._origin:
            raise ImageError(UNKNOWN)
        try:
            return source_of(**self._origin)
        except (LlavitLensError, TypeError) as error:
            raise ImageError(ELSEWHERE) from error

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self._list.names)}


def _is_missing(error: LlavitLensError) -> bool:
    return isinstance(error.__cause__, FileNotFoundError)
