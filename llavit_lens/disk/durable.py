"""Modes of written files, and waiting until they are on the disk."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from llavit_lens.disk.strays import name_beside


def settle(folder: Path) -> None:
    """Give all files in a folder the modes of new files, and wait until they are on the disk.

    Some writers make files that only their owner can read. Links and their targets stay unchanged.
    """
    mode = stat.S_IMODE(folder.stat().st_mode) & 0o666
    for root, _, names in os.walk(folder):
        for path in (Path(root, name) for name in names):
            if stat.S_ISREG(path.lstat().st_mode):
                with suppress(PermissionError):  # file systems without modes
                    path.chmod(mode)
                flush(path)
        flush(Path(root))


def new_file_mode(folder: Path) -> int:
    """The mode of a new file in a folder.

    A file has to be made for it: the umask cannot be read without a change to it.
    """
    probe = name_beside(folder / "mode")
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL, 0o666))
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    return mode


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that no name is there without its contents.

    Some file systems and permissions do not allow it for a folder, whose names are written anyway.
    """
    if os.name != "posix":  # elsewhere, neither can be flushed through such a handle
        return
    try:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError:
        if not path.is_dir():
            raise
