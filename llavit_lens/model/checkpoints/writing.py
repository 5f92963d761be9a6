"""A folder on disk that is there whole or not at all, though its files are written one by one.

Everything goes to `OUT.part`, each file under a name of its own until it is complete; the last step
renames the folder. `conversion.json` in it says what is being written there: a later run goes on
where an earlier one was stopped if it is to write the same, and starts from nothing if not.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from llavit_lens.disk import (
    flush,
    is_unfinished,
    read_json,
    remove,
    settle,
    shown,
    write_atomically,
    write_text_atomically,
)
from llavit_lens.errors import CheckpointError, ConfigurationError, one_line
from llavit_lens.model.checkpoints.read import LazyTensor

RECORD = "conversion.json"


class NotWritten(CheckpointError):
    """A file of a conversion, for want of room or permission."""


def check_out(out: Path) -> None:
    """Refuse to write where something is already.

    Raises:
        ConfigurationError: `out` exists and is no empty folder, or its parent does not exist.
    """
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ConfigurationError(f"{out}: is there already; choose another folder")
    if not out.parent.is_dir():
        raise ConfigurationError(f"{out}: there is no folder {out.parent}")


def begin(out: Path, record: Mapping[str, Any], files: Collection[str]) -> Path:
    """The folder to write to: new, or that of an earlier run with the same record.

    Args:
        files: names of those that an earlier run may have completed; all else goes.

    Raises:
        ConfigurationError: the folder cannot be made, or is there and no earlier run made it.
    """
    part = out.with_name(f"{out.name}.part")
    if part.is_symlink() or (part.exists() and not part.is_dir()):
        raise ConfigurationError(
            f"{shown(part)}: is in the way, and is no folder; move it or choose another name"
        )
    try:
        part.mkdir(exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{shown(part)}: cannot be made ({error.strerror}); choose another folder"
        ) from error
    earlier = _read_record(part)
    if earlier is None and not all(is_unfinished(entry) for entry in part.iterdir()):
        raise ConfigurationError(
            f"{shown(part)}: is in the way, and no conversion wrote it; move it or choose another "
            "folder"
        )
    complete = {*files} if earlier == dict(record) else set()
    for entry in part.iterdir():
        is_file = entry.is_file() and not entry.is_symlink()
        if entry.name != RECORD and not (is_file and entry.name in complete):
            remove(entry)
    # after all else is gone: whatever lies beside a record is of the run that it is of
    write_text(part / RECORD, json.dumps(dict(record), indent=2) + "\n")
    return part


def write_tensors(path: Path, tensors: Mapping[str, LazyTensor]) -> None:
    """Write a safetensors file, unless an earlier run completed it."""
    if path.exists():
        return
    values = {key: tensor.read().contiguous() for key, tensor in tensors.items()}
    with write_atomically(path, error=NotWritten) as unfinished:
        save_file(values, unfinished, metadata={"format": "pt"})


def write_text(path: Path, text: str) -> None:
    """Write a text file that is never seen half written."""
    write_text_atomically(path, text, error=NotWritten)


def finish(part: Path, out: Path) -> None:
    """Make the folder appear under its own name, in one step."""
    try:
        settle(part)
        if out.is_dir():
            out.rmdir()  # empty, or this fails
        os.rename(part, out)
        flush(out.parent)
    except OSError as error:
        raise NotWritten(f"cannot write {shown(out)}: {one_line(error)}") from error


def _read_record(part: Path) -> dict[str, Any] | None:
    """The record of an earlier run; None is no such run."""
    try:
        record = read_json(part / RECORD)
    except ConfigurationError:
        return None
    return record if isinstance(record, dict) and "fingerprint" in record else None
