"""Reading files from outside, within limits."""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from pathlib import Path
from typing import Any

from llavit_lens.disk.names import is_web_address, refusing, shown, with_home
from llavit_lens.errors import ConfigurationError, LlavitLensError, one_line

MAX_TEXT_BYTES = 64 * 2**20
"""Default limit for a text or JSON file."""

_BINARY = getattr(os, "O_BINARY", 0)


def read_bytes(
    path: str | Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    error: type[LlavitLensError] = ConfigurationError,
) -> bytes:
    """The bytes of a regular file of at most `max_bytes`.

    Raises:
        LlavitLensError: of the class `error`: there is no such file, it is a folder, a pipe or a
            device (which could block or never end), it is too large, or it cannot be read.
    """
    _, handle = _open_file(path, error)
    with os.fdopen(handle, "rb") as file, refusing(error, f"{shown(path)}: cannot be read ({{}})"):
        size = os.fstat(handle).st_size
        too_large = size > max_bytes
        data = b"" if too_large else file.read(size + 1)  # read() allocates its argument at once
        if len(data) > size:  # as in /proc, where files have size 0
            data += file.read(max_bytes)
    if too_large or len(data) > max_bytes:
        raise error(f"{shown(path)}: larger than the limit of {max_bytes} bytes")
    return data


def check_file(path: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> Path:
    """The path of a regular file that can be read; nothing is read yet.

    Raises:
        LlavitLensError: of the class `error`: as `read_bytes`, except for the file's size.
    """
    expanded, handle = _open_file(path, error)
    os.close(handle)
    return expanded


def _open_file(path: str | Path, error: type[LlavitLensError]) -> tuple[Path, int]:
    """The path and a handle of a regular file: the file that is open is the one that is checked."""
    name = shown(path)
    if not str(path):
        raise error("there is no file name")
    with refusing(error, f"{name}: cannot be read ({{}})"):
        expanded = with_home(path)
        try:
            # a pipe is opened at once, without waiting for its writer
            handle = os.open(expanded, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _BINARY)
        except (FileNotFoundError, NotADirectoryError) as cause:
            raise error(_missing(expanded, path, name)) from cause
        except OSError as cause:
            if cause.errno != errno.ENXIO:
                raise
            raise error(f"{name}: is not a regular file") from cause  # a socket
    mode = os.fstat(handle).st_mode
    if not stat.S_ISREG(mode):
        os.close(handle)
        folder = stat.S_ISDIR(mode)
        raise error(f"{name}: is {'a folder, not a file' if folder else 'not a regular file'}")
    return expanded, handle


def _missing(expanded: Path, path: str | Path, name: str) -> str:
    if is_web_address(path):
        name = re.sub(":/+", "://", name, count=1)  # `Path` leaves one slash of the two
        return (
            f"{name}: web addresses are not opened, because what they give may change; "
            "download it first (curl -LO ADDRESS), and give the file"
        )
    return f"{name}: {'is a link that leads nowhere' if expanded.is_symlink() else 'no such file'}"


def has_file(path: str | Path, *, error: type[LlavitLensError] = ConfigurationError) -> bool:
    """Whether there is a file; if so, it is a regular one that can be read.

    Raises:
        LlavitLensError: of the class `error`: it is something else, or there is no permission to
            look.
    """
    with refusing(error, f"{shown(path)}: cannot be read ({{}})"):
        try:
            Path(path).lstat()
        except (FileNotFoundError, NotADirectoryError):
            return False
    check_file(path, error=error)
    return True


def read_text(
    path: str | Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    error: type[LlavitLensError] = ConfigurationError,
) -> str:
    """The text of a file in UTF-8.

    Raises:
        LlavitLensError: as `read_bytes`; the file is not in UTF-8.
    """
    try:
        return read_bytes(path, max_bytes=max_bytes, error=error).decode("utf-8-sig")
    except UnicodeDecodeError as cause:
        raise error(f"{shown(path)}: is not text in UTF-8 ({cause.reason})") from cause


def read_json(
    path: str | Path,
    *,
    max_bytes: int = MAX_TEXT_BYTES,
    error: type[LlavitLensError] = ConfigurationError,
) -> Any:
    """The content of a JSON file.

    Raises:
        LlavitLensError: as `read_text`; the file is no JSON, or nested too deeply.
    """
    text = read_text(path, max_bytes=max_bytes, error=error)
    try:
        return json.loads(text)
    except RecursionError as cause:
        raise error(f"{shown(path)}: its JSON is nested too deeply") from cause
    except ValueError as cause:
        raise error(f"{shown(path)}: is no JSON ({one_line(cause)})") from cause
