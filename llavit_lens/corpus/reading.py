"""Tables of an index, each file as it was written: a damaged one is named, with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.corpus.index import Index
from llavit_lens.corpus.schema import PARTS, metadata_of, strings_file
from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError, one_line


def read_part(
    index: Index, part: str, shard: int, columns: Sequence[str] | None = None
) -> pa.Table:
    """A file of a shard, or some of its columns.

    Raises:
        ConfigurationError: it is missing, damaged, or of another index.
    """
    with open_part(index, part, shard) as file:
        return file.read(columns=None if columns is None else list(columns))


def read_strings(index: Index) -> list[str]:
    """The text of every token id.

    Raises:
        ConfigurationError: the file is missing or damaged.
    """
    path = strings_file(index.path)
    again = "run the same llavit-lens scan again, which writes it anew once it is deleted"
    with _telling(path, again):
        texts: list[str] = pq.read_table(path, columns=["text"])["text"].to_pylist()
        if len(texts) != index.settings.vocabulary:
            raise ValueError(f"{len(texts)} texts for {index.settings.vocabulary} ids")
        return texts


@contextmanager
def open_part(index: Index, part: str, shard: int) -> Iterator[pq.ParquetFile]:
    """A file of a shard, to read a piece of it.

    Raises:
        ConfigurationError: as `read_part`, also while it is read.
    """
    path = index.file(part, shard)
    with (
        _telling(path, _remedy(index, shard)),
        pq.ParquetFile(path, page_checksum_verification=True) as file,
    ):
        facts = metadata_of(file.schema_arrow)
        if facts.get("fingerprint") != index.settings.fingerprint:
            raise ValueError("it belongs to another index")
        if (facts.get("part"), facts.get("shard")) != (part, shard):
            raise ValueError("it has the name of another file")
        yield file


@contextmanager
def _telling(path: Path, remedy: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ConfigurationError(f"{shown(path)}: is missing; {remedy}") from error
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(
            f"{shown(path)}: is damaged ({one_line(error)}); {remedy}"
        ) from error


def _remedy(index: Index, shard: int) -> str:
    return (
        f"delete {shown(index.file(PARTS[-1], shard))} and run the same llavit-lens scan again, "
        "which reads the images of this shard anew"
    )
