"""What all results have in common: they are saved and loaded whole, compared, and made tables."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from PIL import Image

from llavit_lens.disk import read_bytes, shown, write_atomically
from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import ImageSource, open_image, pixel_sha256
from llavit_lens.results.shown import Shown

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 2**30
"""The largest file that `Result.load` reads."""


class Result(Shown):
    """A base of dataclasses; images are no part of a result, they are neither saved nor compared.

    `provenance` says where a result comes from: model, revision, n_layers, prompt (as the model was
    given it), image_sha256 (see `pixel_sha256`), versions.
    """

    provenance: dict[str, Any]
    _images: ClassVar[tuple[str, ...]] = ("image",)

    @abstractmethod
    def to_bytes(self) -> bytes:
        """The contents of the file that `save` writes.

        Raises:
            ConfigurationError: parts of the result do not fit together, or cannot be saved.
        """

    @classmethod
    @abstractmethod
    def _from_bytes(cls, data: bytes, name: str) -> Self:
        """The result in the contents of a file; `name` is what messages call the file."""

    @abstractmethod
    def to_pandas(self) -> pd.DataFrame:
        """Tidy: one row for each number, with model, prompt and, of results of one image, image."""

    def save(self, path: str | Path) -> None:
        """One Parquet file with a checksum; `load` gives back an equal result.

        Raises:
            ConfigurationError: as `to_bytes`; or the file cannot be written.
        """
        contents = self.to_bytes()
        with write_atomically(path) as unfinished:
            unfinished.write_bytes(contents)

    @classmethod
    def load(cls, source: str | Path | bytes | bytearray | memoryview) -> Self:
        """Reads what `save` wrote, or the bytes of it.

        Raises:
            ConfigurationError: no such file, not one of ours, or one that was damaged or changed.
        """
        if isinstance(source, (bytes, bytearray, memoryview)):
            contents = bytes(source)
            return cls._from_bytes(contents, f"the {len(contents)} bytes given")
        return cls._from_bytes(read_bytes(source, max_bytes=MAX_BYTES), shown(source))

    def __eq__(self, other: object) -> bool:
        """All but the images."""
        if type(other) is not type(self):
            return NotImplemented
        names = [field.name for field in fields(self) if field.name not in self._images]  # type: ignore[arg-type]
        return all(_same(getattr(self, name), getattr(other, name)) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def _has_images(self) -> bool:
        return all(getattr(self, image) is not None for image in self._images)

    @property
    def _model(self) -> str:
        """The model's name, for one line."""
        return printable(str(self.provenance.get("model")), 60)

    def _with_origin(self, columns: dict[str, Any]) -> pd.DataFrame:
        """The table of these columns and of those that all results have.

        `image` is the beginning of the image's checksum in `provenance`.
        """
        import pandas as pd  # a third of a second, and many a program makes no table

        digest = self.provenance.get("image_sha256")
        return pd.DataFrame(columns).assign(
            image=digest and digest[:12],
            model=self.provenance.get("model"),
            prompt=self.provenance.get("prompt"),
        )


def image_of(
    image: ImageSource | None,
    kept: Image.Image | None,
    layout: VisualLayout,
    digest: str | None,
    name: str = "image",
) -> Image.Image:
    """The image on which a result is drawn.

    Args:
        image: the one that was read, or a sharper or smaller copy of it; default: `kept`.
        kept: the image that the result still has; None after `load`.
        layout: of the result.
        digest: `pixel_sha256` of the image that was read; None if it is not on record.
        name: of the argument, for messages.

    Raises:
        ConfigurationError: there is no image, or it has the same size and other pixels.
        ImageError: the image cannot be read.
    """
    if image is None:
        if kept is None:
            raise ConfigurationError(f"the image is not saved with a result; pass it as {name}=")
        return kept
    opened = open_image(image)
    if digest and opened.size == layout.image_size and pixel_sha256(opened) != digest:
        raise ConfigurationError(
            f"{name}= is not the one that was read (of the same size, but with other pixels); "
            "pass that one, or a copy of it"
        )
    return opened


def _same(a: Any, b: Any) -> bool:
    tables = [hasattr(one, "equals") for one in (a, b)]
    if any(tables):
        return all(tables) and bool(a.equals(b))
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        arrays = isinstance(a, np.ndarray) and isinstance(b, np.ndarray)
        return arrays and a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    return bool(a == b)
