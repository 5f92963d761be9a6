"""Visitors' own pictures: each stays as long as its session, unless all together need its room."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from weakref import ReferenceType, ref

from llavit_lens.errors import ImageError
from llavit_lens.explorer.pictures import Picture

MOST_BYTES = 256 * 1024 * 1024
"""Of the pictures of all sessions; the newest stays, whatever its size."""


@dataclass(eq=False)
class Kept:
    """A picture on the shelf. What holds this keeps the picture; None: it made room for others."""

    picture: Picture | None


class Shelf:
    """The pictures of a server's sessions, those used last at the end."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self._kept: list[ReferenceType[Kept]] = []
        self._lock = Lock()

    def put(self, picture: Picture) -> Kept:
        """Keep a picture; those that nobody looked at for longest make room for it."""
        kept = Kept(picture)
        with self._lock:
            self._use(kept)
            total = self.nbytes
            for other in self._held():
                if total <= self.most_bytes or other is kept:
                    break
                total -= _nbytes(other)
                other.picture = None
        return kept

    def get(self, kept: Kept) -> Picture:
        """The picture.

        Raises:
            ImageError: it made room for others.
        """
        with self._lock:
            if (picture := kept.picture) is None:
                raise ImageError(
                    "your picture had to make room for those of others; upload it again, or "
                    "choose an example scene"
                )
            self._use(kept)
            return picture

    @property
    def nbytes(self) -> int:
        """Bytes of all pictures that are there."""
        return sum(_nbytes(kept) for kept in self._held())

    def _held(self) -> list[Kept]:
        return [kept for each in self._kept if (kept := each()) is not None]

    def _use(self, kept: Kept) -> None:
        others = [
            other for other in self._held() if other is not kept and other.picture is not None
        ]
        self._kept = [ref(each) for each in (*others, kept)]


def _nbytes(kept: Kept) -> int:
    return 0 if kept.picture is None else kept.picture.nbytes
