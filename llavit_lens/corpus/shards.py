"""The complete shards of an index, as a search sees them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.schema import IMAGES, PARTS, PATCHES, metadata_of, shard_file
from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError

_SHARD = re.compile(r"(\d{5,})\.parquet")
_SMALL = 2**16  # bytes that are quickly read
_END = b"PAR1"  # of every Parquet file, after the length of its footer


def complete_shards(index: Index) -> list[int]:
    """Numbers of the shards that are written whole, ascending."""
    folder = index.path / IMAGES
    names = os.listdir(folder) if folder.is_dir() else []
    found = (_SHARD.fullmatch(name) for name in names)
    return sorted(shard for name in found if name and (shard := int(name[1])) < index.shards)


def is_whole(index: Path, shard: int) -> bool:
    """Whether all files of a shard in this folder are there, and open: only their ends are read."""
    return all(_opens(shard_file(index, part, shard)) for part in reversed(PARTS))


def _opens(file: Path) -> bool:
    try:
        pq.read_metadata(file)
    except (OSError, ValueError, pa.ArrowException):
        return False
    return True


def n_images(index: Index, shards: Sequence[int]) -> int:
    """How many images of the list these shards hold, readable or not."""
    return sum(len(index.images_of(shard)) for shard in shards)


def stamp(index: Index, shard: int) -> str:
    """A checksum by which another shard of the same number is noticed.

    It is of the file in images/, which has the checksum of each image, and of what the file in
    patches/ says of itself: sizes, counts, least and largest values. So it costs little, and stays
    the same where an index is copied.

    Raises:
        ConfigurationError: a file is missing or damaged.
    """
    digest = hashlib.blake2b(digest_size=8)
    for part, most in ((PATCHES, _SMALL), (IMAGES, None)):
        file = index.file(part, shard)
        digest.update(_footer(file))
        try:
            if most is None or file.stat().st_size <= most:
                digest.update(file.read_bytes())
        except OSError as error:
            raise damaged(file) from error
    return digest.hexdigest()


def check_shard(index: Index, shard: int) -> None:
    """Refuse a shard that another index wrote, or that is damaged.

    Raises:
        ConfigurationError: it is.
    """
    for part in PARTS:
        file = index.file(part, shard)
        _footer(file)
        try:
            facts = metadata_of(pq.read_schema(file))
        except (OSError, ValueError, pa.ArrowException) as error:
            raise damaged(file) from error
        if facts.get("fingerprint") != index.settings.fingerprint:
            raise ConfigurationError(
                f"{shown(file)}: was written with another model or other options than index.json "
                f"says; delete all files of shard {shard} ({_names(shard)}), and run the same scan "
                "again, which writes them"
            )


def damaged(file: Path) -> ConfigurationError:
    """The error of a file of a shard that cannot be read."""
    shard = int(file.stem)
    return ConfigurationError(
        f"{shown(file)}: is damaged or missing; delete all files of shard {shard} "
        f"({_names(shard)}), and run the same scan again, which writes them"
    )


def find_damage(index: Index, shards: Sequence[int], parts: Sequence[str] = PARTS) -> None:
    """Read the files of these shards whole, and raise the error of the first that is damaged."""
    for shard in shards:
        check_shard(index, shard)
        for part in parts:
            file = index.file(part, shard)
            try:
                with pq.ParquetFile(file) as opened:
                    for _ in opened.iter_batches():
                        pass
            except (OSError, ValueError, pa.ArrowException) as error:
                raise damaged(file) from error


def _names(shard: int) -> str:
    return f"*/{shard:05d}.parquet"


def _footer(file: Path) -> bytes:
    """The footer of a Parquet file, and the file's size."""
    try:
        with file.open("rb") as opened:
            size = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, size - 8))
            end = opened.read(8)
            length = int.from_bytes(end[:4], "little")
            if end[4:] != _END or length + 12 > size:
                raise damaged(file)
            opened.seek(size - 8 - length)
            return b"%d:" % size + opened.read(length)
    except OSError as error:
        raise damaged(file) from error
