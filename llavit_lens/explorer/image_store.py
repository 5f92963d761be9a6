"""Visitors' own images: each stays as long as its session, unless newer ones need its room."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from weakref import ReferenceType, ref

from llavit_lens.errors import ImageError
from llavit_lens.explorer.input_image import InputImage

MOST_BYTES = 256 * 1024 * 1024
"""Of the images of all sessions; the newest stays, whatever its size."""


@dataclass(eq=False)
class StoredImage:
    """A session's reference to its image; None: it was dropped to make room for others."""

    image: InputImage | None


class ImageStore:
    """The images of a server's sessions, the last used ones at the end."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._references: list[ReferenceType[StoredImage]] = []
        self._lock = Lock()

    def put(self, image: InputImage) -> StoredImage:
        """Keep an image; the least recently used ones make room for it."""
        new = StoredImage(image)
        with self._lock:
            self._use(new)
            total = self.nbytes
            for stored in self._stored():
                if total <= self.most_bytes or stored is new:
                    break
                total -= _nbytes(stored)
                stored.image = None
        return new

    def get(self, stored: StoredImage) -> InputImage:
        """The image.

        Raises:
            ImageError: it made room for others.
        """
        with self._lock:
            if (image := stored.image) is None:
                raise ImageError(
                    "your image had to make room for those of others; upload it again, or "
                    "choose an example scene"
                )
            self._use(stored)
            return image

    @property
    def nbytes(self) -> int:
        """Bytes of all images that are there."""
        return sum(_nbytes(stored) for stored in self._stored())

    def _stored(self) -> list[StoredImage]:
        return [stored for each in self._references if (stored := each()) is not None]

    def _use(self, stored: StoredImage) -> None:
        others = [
            other for other in self._stored() if other is not stored and other.image is not None
        ]
        self._references = [ref(each) for each in (*others, stored)]


def _nbytes(stored: StoredImage) -> int:
    return 0 if stored.image is None else stored.image.nbytes
