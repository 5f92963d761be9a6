"""A list of images in a fixed order: names at once, pixels when an image has its turn."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError

if TYPE_CHECKING:
    from llavit_lens.images.open import ImageSource


class ImageList(ABC):
    """Images in an order that is the same each time; the number of an image is its place.

    It holds names and no open file, so it can be pickled, and threads may share it.

    Attributes:
        names: one for each image, no two alike: text that UTF-8 can write.
        origin: what `source_of` takes to make the same list again, such as
            {"images": "/data/photos"}; empty where it cannot, as for images in memory.
        remarks: what was left out, and why: a line for each reason.
    """

    def __init__(
        self, names: Sequence[str], origin: Mapping[str, str], remarks: Sequence[str] = ()
    ) -> None:
        self.names = list(names)
        self.origin = dict(origin)
        self.remarks = list(remarks)

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all names in their order: another list has another one, wherever it lies."""
        digest = hashlib.sha256()
        for name in self.names:
            text = name.encode()
            digest.update(b"%d:%s" % (len(text), text))  # the length: a name may hold anything
        return digest.hexdigest()

    @abstractmethod
    def read(self, number: int) -> ImageSource:
        """What `open_image` takes for the image at a place: most often its path.

        Raises:
            ImageError: the image is not where the list has it.
        """


class Files(ImageList):
    """Images in files below a folder.

    Attributes:
        folder: what the names are relative to.
    """

    def __init__(
        self,
        folder: Path,
        files: Sequence[str],
        origin: Mapping[str, str],
        remarks: Sequence[str] = (),
    ) -> None:
        """`files` are paths from the folder on, or whole ones; they may be no UTF-8.

        Raises:
            ConfigurationError: two names look alike as text.
        """
        names = [as_text(file) for file in files]
        super().__init__(names, origin, remarks)
        self.folder = folder
        # the few that are not their own names: paths of a million files are not kept twice
        self._files = {i: file for i, file in enumerate(files) if file != names[i]}
        if len(set(names)) < len(names):
            twice = next(name for name, count in Counter(names).items() if count > 1)
            raise ConfigurationError(
                f"{shown(folder)}: two images have the name {shown(twice)}; rename one of them"
            )

    def read(self, number: int) -> Path:
        return self.folder / self._files.get(number, self.names[number])


def as_text(name: str) -> str:
    r"""A file's name as text that UTF-8 can write: a byte that it cannot is shown as \xe9."""
    try:
        name.encode()
    except UnicodeEncodeError:  # Python holds such bytes as halves of surrogate pairs
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return name
