"""One shard of an index: three files, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.rows import layout_table, patch_rows
from llavit_lens.corpus.schema import (
    IMAGES,
    IMAGES_SCHEMA,
    LAYOUTS,
    LAYOUTS_SCHEMA,
    PARTS,
    PATCHES,
    patches_schema,
    with_metadata,
)
from llavit_lens.disk import write_atomically
from llavit_lens.images.layout import VisualLayout
from llavit_lens.results.words import Words

ROWS = 2**17
"""A row group of patches/ ends with the image that brings it to so many rows, so that memory does
not grow with the images of a shard."""

_HOW: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}


@dataclass(frozen=True, eq=False)
class ImageWords:
    """One image of a shard, and its words or why there are none.

    Attributes:
        image: its number, which is its place in the list.
        source: its name in the list.
        words: at the layers of the index; None where the image could not be read.
        orientation: EXIF, 1 to 8, by which it was turned upright.
        error: why it could not be read, in one line.
    """

    image: int
    source: str
    words: Words | None = None
    orientation: int | None = None
    error: str | None = None


@dataclass(frozen=True)
class BadImage:
    """An image that could not be read: its number, its name, and why."""

    image: int
    source: str
    error: str


@dataclass(frozen=True)
class ShardResult:
    """What was written; plain data that processes can hand on.

    Attributes:
        shard: its number.
        read: how many images were read.
        bad: those that could not be.
        rows: of patches/.
        size: of the three files, in bytes.
    """

    shard: int
    read: int
    bad: tuple[BadImage, ...]
    rows: int
    size: int


def write_shard(index: Index, shard: int, images: Iterable[ImageWords]) -> ShardResult:
    """Write the files of a shard; the one that makes it complete comes last.

    Args:
        index: it has been begun.
        shard: the number.
        images: all images of the shard in order; they may be read as they are asked for.

    Raises:
        ConfigurationError: a file cannot be written. None is then half written, and the next run
            writes the shard. Errors of `images` pass unchanged.
    """
    with suppress(OSError):  # where the shard was damaged, it is not complete until the end
        index.file(IMAGES, shard).unlink()
    rows = 0
    about: list[dict[str, Any]] = []
    layouts: list[VisualLayout] = []
    schema = patches_schema(
        index.settings.lens, index.settings.k, len(index.settings.tracked) or None
    )
    with (
        write_atomically(_file(index, PATCHES, shard)) as path,
        _RowGroups(path, _described(schema, index, PATCHES, shard)) as table,
    ):
        for image in images:
            if image.words is not None:
                rows += table.add(patch_rows(image.image, image.words, schema))
            about.append(_image_row(image, layouts))
    with write_atomically(_file(index, LAYOUTS, shard)) as path:
        schema = _described(LAYOUTS_SCHEMA, index, LAYOUTS, shard)
        pq.write_table(layout_table(layouts, schema), path, **_HOW)
    with write_atomically(_file(index, IMAGES, shard)) as path:
        schema = _described(IMAGES_SCHEMA, index, IMAGES, shard)
        pq.write_table(pa.Table.from_pylist(about, schema), path, **_HOW)
    bad = tuple(
        BadImage(one["image"], one["source"], one["error"]) for one in about if one["error"]
    )
    size = sum(index.file(part, shard).stat().st_size for part in PARTS)
    return ShardResult(shard, len(about) - len(bad), bad, rows, size)


class _RowGroups:
    """A Parquet file in the making: row groups of whole images, of about `ROWS` rows each."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        # numbers that repeat; DuckDB reads no other encoding of half precision than plain
        columns = ["image", "layer", "patch", "ids.list.element"]
        self._writer = pq.ParquetWriter(path, schema, use_dictionary=columns, **_HOW)
        self._schema = schema
        self._waiting: list[pa.RecordBatch] = []

    def __enter__(self) -> _RowGroups:
        return self

    def add(self, rows: pa.RecordBatch) -> int:
        """Take the rows of an image; returns how many there are."""
        self._waiting.append(rows)
        if sum(map(len, self._waiting)) >= ROWS:
            self._write()
        return len(rows)

    def _write(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting).cast(self._schema)
            self._writer.write_table(table, row_group_size=len(table))
            self._waiting = []

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._write()
        self._writer.close()


def _file(index: Index, part: str, shard: int) -> Path:
    """Where to write, in a folder that is there."""
    path = index.file(part, shard)
    path.parent.mkdir(exist_ok=True)
    return path


def _described(schema: pa.Schema, index: Index, part: str, shard: int) -> pa.Schema:
    facts = {
        "part": part,
        "shard": shard,
        "fingerprint": index.settings.fingerprint,
        "model": index.model,
        "provenance": dict(index.provenance),
    }
    return with_metadata(schema, facts)


def _image_row(image: ImageWords, layouts: list[VisualLayout]) -> dict[str, Any]:
    """The row in images/; a layout that is not among `layouts` is added."""
    row = {"image": image.image, "source": image.source, "error": image.error}
    if image.words is None:
        return row
    layout = image.words.layout
    if layout not in layouts:
        layouts.append(layout)
    width, height = layout.image_size
    return row | {
        "width": width,
        "height": height,
        "orientation": image.orientation,
        "sha256": image.words.provenance["image_sha256"],
        "layout": layouts.index(layout),
    }
