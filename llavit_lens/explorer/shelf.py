"""Visitors' own images: each stays as long as its session, unless all together need its room."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from weakref import ReferenceType, ref

from llavit_lens.errors import ImageError
from llavit_lens.explorer.pictures import Picture

MOST_BYTES = 256 * 1024 * 1024
"""Of the images of all sessions; the newest stays, whatever its size."""


@dataclass(eq=False)
class Slot:
    """A place on the shelf as long as it is in use; None: its image made room for others."""

    picture: Picture | None


class Shelf:
    """The images of a server's sessions, those used last at the end."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._slots: list[ReferenceType[Slot]] = []
        self._lock = Lock()

    def put(self, picture: Picture) -> Slot:
        """Keep an image; the least recently used make room for it."""
        slot = Slot(picture)
        with self._lock:
            self._use(slot)
            total = self.nbytes
            for other in self._held():
                if total <= self.most_bytes or other is slot:
                    break
                total -= _nbytes(other)
                other.picture = None
        return slot

    def get(self, slot: Slot) -> Picture:
        """The image.

        Raises:
            ImageError: it made room for others.
        """
        with self._lock:
            if (picture := slot.picture) is None:
                raise ImageError(
                    "your image had to make room for those of others; upload it again, or "
                    "choose an example scene"
                )
            self._use(slot)
            return picture

    @property
    def nbytes(self) -> int:
        """Bytes of all images that are there."""
        return sum(_nbytes(slot) for slot in self._held())

    def _held(self) -> list[Slot]:
        return [slot for each in self._slots if (slot := each()) is not None]

    def _use(self, slot: Slot) -> None:
        others = [
            other for other in self._held() if other is not slot and other.picture is not None
        ]
        self._slots = [ref(each) for each in (*others, slot)]


def _nbytes(slot: Slot) -> int:
    return 0 if slot.picture is None else slot.picture.nbytes
