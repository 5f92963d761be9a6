"""A folder on disk that is there whole or not at all, though its files are written one by one.

Everything goes to `OUT.part`, each file under a name of its own until it is complete; the last step
renames the folder. `conversion.json` in it says what is being written there: a later run goes on
where an earlier one was stopped if it is to write the same, and starts anew if not.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.checkpoints.read import LazyTensor

RECORD = "conversion.json"
_UNFINISHED = ".unfinished"


def check_out(out: Path) -> None:
    """Refuse to write where something is already.

    Raises:
        ConfigurationError: `out` exists and is no empty folder, or its parent does not exist.
    """
    if out.is_symlink() or (out.exists() and not (out.is_dir() and not any(out.iterdir()))):
        raise ConfigurationError(f"{out}: is there already; choose another folder")
    if not out.parent.is_dir():
        raise ConfigurationError(f"{out}: there is no folder {out.parent}")


def begin(out: Path, record: Mapping[str, str]) -> Path:
    """The folder to write to: new, or that of an earlier run with the same record.

    Raises:
        ConfigurationError: the folder is there, and not made by an earlier run.
    """
    part = out.with_name(f"{out.name}.part")
    part.mkdir(exist_ok=True)
    earlier = _read_record(part)
    if earlier != dict(record):
        if earlier is not None:
            _empty(part)
        elif any(not entry.name.endswith(_UNFINISHED) for entry in part.iterdir()):
            raise ConfigurationError(
                f"{part}: is in the way, and no conversion wrote it; move it or choose another "
                "folder"
            )
        write_text(part / RECORD, json.dumps(dict(record), indent=2) + "\n")
    for entry in part.glob(f"*{_UNFINISHED}"):
        entry.unlink(missing_ok=True)
    return part


def write_tensors(path: Path, tensors: Mapping[str, LazyTensor]) -> None:
    """Write a safetensors file, unless an earlier run completed it."""
    if path.exists():
        return
    unfinished = _unfinished(path)
    values = {key: tensor.read().contiguous() for key, tensor in tensors.items()}
    save_file(values, unfinished, metadata={"format": "pt"})
    _complete(unfinished, path)


def write_text(path: Path, text: str) -> None:
    """Write a text file that is never seen half written."""
    unfinished = _unfinished(path)
    unfinished.write_text(text)
    _complete(unfinished, path)


def finish(part: Path, out: Path) -> None:
    """Make the folder appear under its own name, in one step."""
    for entry in part.iterdir():
        _flush(entry)
    _flush(part)
    if out.is_dir():
        out.rmdir()  # empty, or this fails
    os.rename(part, out)
    _flush(out.parent)


def _unfinished(path: Path) -> Path:
    # With the process's number: two runs at once do not write into one file.
    return path.with_name(f"{path.name}.{os.getpid()}{_UNFINISHED}")


def _complete(unfinished: Path, path: Path) -> None:
    _flush(unfinished)
    os.replace(unfinished, path)


def _flush(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that no name outlives its contents."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _read_record(part: Path) -> dict[str, str] | None:
    try:
        record = json.loads((part / RECORD).read_text())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and "fingerprint" in record else None


def _empty(part: Path) -> None:
    """Delete what an earlier run wrote; its record last, so that a stop here is no stranger."""
    for entry in sorted(part.iterdir(), key=lambda entry: entry.name == RECORD):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
