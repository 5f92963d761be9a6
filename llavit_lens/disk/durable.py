"""Written files: their modes, and when they are on the disk."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from llavit_lens.disk.strays import name_beside


def settle(folder: Path) -> None:
    """Give all files in a folder of ours the modes of new files, and wait for the disk.

    Some writers make files for the owner alone. Links are left alone, as what they lead to.
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
    """The mode of a new file in a folder: a file has to be made, as to ask for the umask is to
    change it."""
    probe = name_beside(folder / "mode")
    os.close(os.open(probe, os.O_CREAT | os.O_EXCL, 0o666))
    mode = stat.S_IMODE(probe.stat().st_mode)
    probe.unlink()
    return mode


def flush(path: Path) -> None:
    """Wait until a file or folder is on the disk, so that no name outlives its contents.

    Not all file systems and permissions let a folder be flushed; its names are written even so.
    """
    if os.name != "posix":  # elsewhere, neither is opened for this
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
