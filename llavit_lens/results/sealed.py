"""A result as a sealed Parquet file: a table, everything else as JSON in its schema, a checksum.

The checksum is a SHA-256 of all bytes of the file, and stands in the schema too. Nothing of a file
is parsed before it fits: some damage ends Arrow, and Python with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from llavit_lens.disk import MAX_TEXT_BYTES
from llavit_lens.errors import ConfigurationError, one_line
from llavit_lens.images.layout import VisualLayout

DAMAGED = "the file was damaged or changed; save the result again"

_UNSEALED = b"0" * 64

Value = TypeVar("Value")


class Columns:
    """The columns of a file, one row group at a time."""

    def __init__(self, file: pq.ParquetFile) -> None:
        self._file = file

    @cached_property
    def _parts(self) -> list[pa.Table]:
        groups = self._file.num_row_groups
        return [self._file.read_row_group(number) for number in range(groups)]

    def check(self, types: Mapping[str, pa.DataType], rows: int) -> None:
        """Whether there are these columns of this length, before they are unpacked.

        Raises:
            ConfigurationError: there are others.
        """
        schema, metadata = self._file.schema_arrow, self._file.metadata
        if schema.names != [*types] or schema.types != [*types.values()]:
            raise ConfigurationError(f"its columns are not those of such a result: {DAMAGED}")
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        for number, each in enumerate(types.values()):
            width = each.list_size if isinstance(each, pa.FixedSizeListType) else 1
            values = sum(group.column(number).num_values for group in groups)
            if metadata.num_rows != rows or values != rows * width:
                raise ConfigurationError(f"it does not have one row for each entry: {DAMAGED}")

    def chunks(self, name: str) -> list[pa.Array]:
        """The values of a column, lists one after the other."""
        chunks = [chunk for part in self._parts for chunk in part[name].chunks]
        is_list = isinstance(self._file.schema_arrow.field(name).type, pa.FixedSizeListType)
        return [chunk.flatten() for chunk in chunks] if is_list else chunks

    def array(self, name: str, *shape: int) -> np.ndarray:
        """A column of numbers, or of lists of numbers, in a shape.

        Raises:
            ConfigurationError: some cells are empty.
        """
        chunks = self.chunks(name)
        values = np.concatenate([chunk.to_numpy(zero_copy_only=False) for chunk in chunks])
        if values.size != np.prod(shape) or any(chunk.null_count for chunk in chunks):
            raise ConfigurationError(f"empty cells: {DAMAGED}")
        return values.reshape(shape)

    def values(self, name: str) -> list[Any]:
        """A column in which cells may be empty: None."""
        return [value for chunk in self.chunks(name) for value in chunk.to_pylist()]

    def texts(self, name: str) -> list[str]:
        """A column of `SealedFormat.dictionaries`; equal texts are one object."""
        return [
            texts[code]
            for chunk in self.chunks(name)
            for texts in [chunk.dictionary.to_pylist()]
            for code in chunk.indices.to_pylist()
        ]

    def check_copy(self, name: str, values: np.ndarray) -> None:
        """Whether a column of numbers that is there for other readers holds these values.

        Raises:
            ConfigurationError: it does not.
        """
        if not np.array_equal(self.array(name, values.size), values.ravel()):
            raise ConfigurationError(f"its rows are not those of its description: {DAMAGED}")

    def check_texts(self, name: str, texts: Sequence[str], indices: np.ndarray) -> None:
        """Whether a column of `SealedFormat.dictionaries` holds `texts[indices]`.

        Raises:
            ConfigurationError: it does not.
        """
        codes: dict[str, int] = {}
        expected = np.array([codes.setdefault(text, len(codes)) for text in texts])[indices]
        given = [
            np.array([codes.get(text, -1) for text in chunk.dictionary.to_pylist()], np.int64)[
                chunk.indices.to_numpy(zero_copy_only=False)
            ]
            for chunk in self.chunks(name)
        ]
        if not np.array_equal(np.concatenate(given), expected.ravel()):
            raise ConfigurationError(f"its texts are not those of its description: {DAMAGED}")


@dataclass(frozen=True)
class SealedFormat:
    """The file format of one kind of result.

    Attributes:
        name: the class of the result.
        key: of its description among the metadata of the schema.
        number: of the format; a file of a number that is neither this nor in `former` is refused.
        types: of each part of the description; without "format", which holds the number.
        dictionaries: columns of texts that are in memory once, however many rows they stand in.
        former: numbers of earlier formats that are still read, each with the parts that its
            description lacks, and what they are there.
    """

    name: str
    key: str
    number: int
    types: Mapping[str, tuple[type, ...]]
    dictionaries: tuple[str, ...] = ()
    former: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def _seal(self) -> bytes:
        return f"{self.key}.sha256".encode()

    def encode(self, description: Mapping[str, Any], columns: Mapping[str, pa.Array]) -> bytes:
        """The contents of a file; to be called within `saving`."""
        text = json.dumps({"format": self.number, **description}, allow_nan=False).encode()
        if json.loads(text)["provenance"] != description["provenance"]:
            raise ValueError("provenance holds a tuple, or a key that is no text")
        metadata = {self.key.encode(): text, self._seal: _UNSEALED}
        table = pa.table(dict(columns)).replace_schema_metadata(metadata)
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        return self.seal(sink.getvalue().to_pybytes())

    def decode(
        self, data: bytes, name: str, build: Callable[[dict[str, Any], Columns], Value]
    ) -> Value:
        """What `build` makes of the description and the columns of a file.

        Args:
            data: the contents of the file.
            name: what messages call the file.
            build: checks the rest; all that it raises for wrong values becomes one clear error.

        Raises:
            ConfigurationError: the file is not of this format, or was damaged or changed.
        """
        try:
            if data != self.seal(data):
                raise ConfigurationError(f"its contents do not have its checksum: {DAMAGED}")
            file = self._open(data)
            return build(self._description(file), Columns(file))
        except ConfigurationError as error:
            raise ConfigurationError(f"{name}: {error}") from error
        except (
            OSError,
            pa.ArrowException,
            ValueError,
            TypeError,
            IndexError,
            OverflowError,
        ) as error:
            raise ConfigurationError(f"{name}: {DAMAGED} ({one_line(error)})") from error

    def seal(self, contents: bytes) -> bytes:
        """The contents of a file with the checksum of all the rest of it.

        Raises:
            ConfigurationError: the file has no room for a checksum.
        """
        if contents[:4] != b"PAR1":
            raise ConfigurationError("not a Parquet file")
        start = contents.rfind(self._seal) + len(self._seal)
        checksum = re.match(rb"..([0-9a-f]{64})", contents[start:], re.S)
        if self._seal not in contents or checksum is None:
            raise ConfigurationError(
                f"not a file that this version's {self.name}.save wrote (an earlier one saved no "
                "checksum: make the result again)"
            )
        before, after = contents[: start + 2], contents[start + 2 + len(_UNSEALED) :]
        digest = hashlib.sha256(before)
        digest.update(_UNSEALED)
        digest.update(after)
        return before + digest.hexdigest().encode() + after

    def _open(self, data: bytes) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(
                pa.BufferReader(data),
                read_dictionary=list(self.dictionaries),
                page_checksum_verification=True,
            )
        except KeyError as error:  # of a column in `dictionaries`
            raise ConfigurationError(f"a column is missing: {DAMAGED}") from error

    def _description(self, file: pq.ParquetFile) -> dict[str, Any]:
        """The JSON of the schema, its parts of the right types."""
        text = (file.schema_arrow.metadata or {}).get(self.key.encode(), b"{}")
        if len(text) > MAX_TEXT_BYTES:
            raise ConfigurationError(f"its description is larger than {MAX_TEXT_BYTES} bytes")
        try:
            description = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigurationError(f"its description is no JSON: {DAMAGED}") from error
        if not isinstance(description, dict) or "format" not in description:
            raise ConfigurationError(f"not a file that {self.name}.save wrote")
        number = description.pop("format")
        if type(number) is not int or number not in {self.number, *self.former}:
            raise ConfigurationError(
                "not of the format that this version reads; a newer one may be"
            )
        lacking = self.former.get(number, {})
        check_description({*description} == {*self.types} - {*lacking})
        description |= lacking
        check_description(
            all(type(description[name]) in types for name, types in self.types.items())
        )
        return description


@contextmanager
def saving() -> Iterator[None]:
    """Inside, values that no file can hold raise one clear error.

    Raises:
        ConfigurationError: of what kind they are.
    """
    try:
        yield
    except ConfigurationError:
        raise
    except (TypeError, ValueError) as error:  # ValueError: half of a surrogate pair
        raise ConfigurationError(f"this result cannot be saved: {one_line(error)}") from error


def layout_from(fields: dict[str, Any]) -> VisualLayout:
    """The layout in a description.

    Raises:
        ConfigurationError: its parts are not those of a layout.
    """
    try:
        layout = VisualLayout.from_dict(fields)
        is_exact = layout.to_dict() == fields
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise ConfigurationError(f"its layout has wrong parts: {DAMAGED}") from error
    if not is_exact or not len(layout):
        raise ConfigurationError(f"its layout has wrong parts: {DAMAGED}")
    return layout


def all_of(values: Any, *types: type) -> bool:
    """Whether a part of a description is a list of values of some types; True is no number."""
    return isinstance(values, list) and all(type(value) in types for value in values)


def check_description(fits: bool) -> None:
    """Raise ConfigurationError unless the parts of a description fit."""
    if not fits:
        raise ConfigurationError(f"its description has wrong parts: {DAMAGED}")
