"""A folder on disk that is there whole or not at all, though its files are written one by one.

Everything goes to `OUT.part`, each file under a name of its own until it is complete; the last step
renames the folder. `conversion.json` in it says what is being written there: a later run goes on
where an earlier one was stopped if it is to write the same, and starts from nothing if not. It
deletes only what a conversion writes: anything else in the folder is refused.
"""

from __future__ import annotations

import json
import os
import re
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
from llavit_lens.model.checkpoints.weights import LazyTensor

RECORD = "conversion.json"
_FINISHED = {"finished": True}
_WRITTEN = re.compile(
    r"model(-\d{5}-of-\d{5})?\.safetensors|README\.md|chat_template\.jinja|[a-z]+\.model"
    r"|(model\.safetensors\.index|(generation_|processor_|preprocessor_|tokenizer_)?config|conversion"
    r"|tokenizer|special_tokens_map|added_tokens|vocab)\.json|(vocab|merges)\.txt"
    r"|\.tmp\w+"  # of safetensors
)
"""Names of what a conversion writes."""


class NotWritten(CheckpointError):
    """A file of a conversion, for want of room or permission."""


def begin(out: Path, record: Mapping[str, Any], files: Collection[str]) -> Path:
    """The folder to write to: new, or that of an earlier run with the same record.

    Args:
        files: names of those that an earlier run may have completed; all else goes.

    Raises:
        ConfigurationError: the folder cannot be made; or it is there, and no earlier run made it,
            or one that has finished, or it holds files that no conversion writes.
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
        raise _in_the_way(part, "no conversion wrote it")
    same = earlier in (dict(record), {**record, **_FINISHED})
    if earlier is not None and earlier.get("finished") and not same:
        raise _in_the_way(part, "it is a finished conversion")
    strange = [entry for entry in part.iterdir() if not _is_of_a_conversion(entry)]
    if strange:
        raise _in_the_way(strange[0], "no conversion wrote it")
    complete = {RECORD, *files} if same else {RECORD}
    for entry in part.iterdir():
        if entry.is_symlink() or entry.name not in complete:
            remove(entry)
    # after all else is gone: files beside a record belong to its run
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
    record = json.loads((part / RECORD).read_text())
    write_text(part / RECORD, json.dumps({**record, **_FINISHED}, indent=2) + "\n")
    try:
        settle(part)
        if out.is_dir():
            out.rmdir()  # empty, or this fails
        os.rename(part, out)
        flush(out.parent)
    except OSError as error:
        raise NotWritten(f"cannot write {shown(out)}: {one_line(error)}") from error


def _is_of_a_conversion(entry: Path) -> bool:
    is_ours = _WRITTEN.fullmatch(entry.name) is not None or is_unfinished(entry)
    return is_ours and (entry.is_symlink() or entry.is_file())


def _in_the_way(path: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"{shown(path)}: is in the way, and {why}; move it or choose another folder"
    )


def _read_record(part: Path) -> dict[str, Any] | None:
    """The record of an earlier run; None is no such run."""
    try:
        record = read_json(part / RECORD)
    except ConfigurationError:
        return None
    return record if isinstance(record, dict) and "fingerprint" in record else None
