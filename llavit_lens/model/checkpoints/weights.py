"""Weight files opened lazily: names, shapes and types at once, values when they are needed."""

from __future__ import annotations

import math
import pickle
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from llavit_lens.disk import check_file, has_file, read_json
from llavit_lens.errors import CheckpointError

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""Whole or, with `.index.json` after it, the index of shards; the first one found is read."""

_CHUNK = 2**20

_SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class LazyTensor:
    """A tensor that is read, or computed from others, when `read` is called."""

    shape: tuple[int, ...]
    dtype: torch.dtype
    file: Path
    key: str
    """Its name in that file, or that of the one it is computed from."""
    read: Callable[[], Tensor]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def find_weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder, in order; empty if it has none.

    Raises CheckpointError if an index is damaged or names a file that is not there, or if a file
    is no regular one or cannot be read.
    """
    for name in WEIGHT_FILES:
        if has_file(folder / name, error=CheckpointError):
            return [folder / name]
        index = folder / f"{name}.index.json"
        if has_file(index, error=CheckpointError):
            return _shards_of(index)
    return []


def _shards_of(index: Path) -> list[Path]:
    folder = index.parent
    content = read_json(index, error=CheckpointError)
    weight_map = content.get("weight_map") if isinstance(content, dict) else None
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{folder}: {index.name} has no weight_map; fetch it again")
    for name in weight_map.values():
        if not isinstance(name, str) or Path(name).name != name:  # never outside the folder
            raise CheckpointError(f"{folder}: {index.name} names {name!r}, which is no file name")
    names = sorted(set(weight_map.values()))
    for name in names:
        if not has_file(folder / name, error=CheckpointError):
            raise CheckpointError(
                f"{folder}: {index.name} names {name}, which is not there; fetch it again"
            )
    return [folder / name for name in names]


class Reader:
    """Reads tensors from weight files, and keeps only the file that it read last open: the memory
    of at most one shard. Values are mapped, not copied; no code in a `.bin` file is run."""

    def __init__(self) -> None:
        self._file: Path | None = None
        self._handle: Any = None

    def open(self, files: Iterable[Path]) -> dict[str, LazyTensor]:
        """Every tensor of the files by its name.

        Raises CheckpointError for a file that is damaged, holds anything but tensors, or repeats a
        name; also from `LazyTensor.read`.
        """
        tensors: dict[str, LazyTensor] = {}
        for file in files:
            check_file(file, error=CheckpointError)
            if file.suffix != ".safetensors" and zipfile.is_zipfile(file):
                _check_sums(file)
            for key, (shape, dtype) in self._contents(file).items():
                if key in tensors:
                    raise CheckpointError(
                        f"{file.parent}: {key} is in {tensors[key].file.name} and in {file.name}; "
                        "keep one of them"
                    )
                tensors[key] = LazyTensor(shape, dtype, file, key, partial(self._tensor, file, key))
        return tensors

    def _contents(self, file: Path) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
        """Shape and type of every tensor in a file."""
        handle = self._open(file)
        if isinstance(handle, dict):
            return {key: (tuple(value.shape), value.dtype) for key, value in handle.items()}
        contents = {}
        for key in handle.keys():  # noqa: SIM118 (a safetensors file is no mapping)
            entry = handle.get_slice(key)
            if entry.get_dtype() not in _SAFETENSORS_DTYPES:
                raise CheckpointError(
                    f"{file.parent}: {key} is of type {entry.get_dtype()}; take the checkpoint in "
                    "float32, float16 or bfloat16, not a quantized one"
                )
            contents[key] = (tuple(entry.get_shape()), _SAFETENSORS_DTYPES[entry.get_dtype()])
        return contents

    def _tensor(self, file: Path, key: str) -> Tensor:
        handle = self._open(file)
        try:
            value = handle[key] if isinstance(handle, dict) else handle.get_tensor(key)
        except (SafetensorError, OSError, RuntimeError) as error:
            raise _damaged(file) from error
        # A view would bring all of its storage along.
        return value.clone() if value.untyped_storage().nbytes() > value.nbytes else value

    def _open(self, file: Path) -> Any:
        if self._file != file:
            self._file, self._handle = None, None  # close the old file before the new one opens
            self._handle = _open_bin(file) if file.suffix == ".bin" else _open_safetensors(file)
            self._file = file
        return self._handle


def _check_sums(file: Path) -> None:
    """Compare a `.bin` with the checksums in it, which torch does not: a third of a second a GB."""
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.compress_type != zipfile.ZIP_STORED:  # torch writes none, and maps none
                    raise _damaged(file)
                if member.CRC:  # torch can leave them out
                    with archive.open(member) as contents:
                        while contents.read(_CHUNK):
                            pass
    except (OSError, zipfile.BadZipFile, RuntimeError, EOFError, NotImplementedError) as error:
        raise _damaged(file) from error


def _open_safetensors(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise _damaged(file) from error


def _open_bin(file: Path) -> dict[str, Tensor]:
    try:
        # Files in torch's format of before 2020 are no zip archives and cannot be mapped.
        contents = torch.load(
            file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file)
        )
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error) or "unrecognized function" in str(error):
            raise CheckpointError(
                f"{file.parent}: {file.name} holds code, which is never run, and not only tensors; "
                "take a safetensors version"
            ) from error
        raise _damaged(file) from error
    except Exception as error:  # a cut file fails in torch, in zipfile or in pickle
        raise _damaged(file) from error
    named = isinstance(contents, dict) and all(isinstance(key, str) for key in contents)
    if not named or not all(isinstance(value, Tensor) for value in contents.values()):
        raise CheckpointError(
            f"{file.parent}: {file.name} is no table of named tensors; take a safetensors version"
        )
    for key, value in contents.items():
        if value.layout is not torch.strided or value.is_quantized or value.is_nested:
            raise CheckpointError(
                f"{file.parent}: {key} in {file.name} is no dense tensor; take the checkpoint in "
                "float32, float16 or bfloat16"
            )
    return contents


def _damaged(file: Path) -> CheckpointError:
    return CheckpointError(f"{file.parent}: {file.name} is damaged or cut off; fetch it again")
