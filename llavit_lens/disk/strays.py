"""Names of unfinished files and folders beside a target, and cleaning up after killed processes."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

_UNFINISHED = ".unfinished"
_STRAY = re.compile(rf"([0-9a-f]{{8}})\.(\d+)\.[0-9a-f]{{8}}\{_UNFINISHED}(\..*)?$")
_DAY = 24 * 60 * 60
_LONGEST_SUFFIX = 20  # bytes


def is_unfinished(path: Path) -> bool:
    """Whether a killed process left this file or folder, or a running one is writing it."""
    return _STRAY.search(path.name) is not None


def name_beside(target: Path, suffix: str = "") -> Path:
    """A new name beside a target, which names the machine and the process that write there."""
    writer = f"{_machine()}.{os.getpid()}.{secrets.token_hex(4)}"
    end = suffix if len(os.fsencode(suffix)) <= _LONGEST_SUFFIX else ""
    return target.with_name(f"{_stray_prefix(target)}{writer}{_UNFINISHED}{end}")


def name_aside(target: Path) -> Path:
    """The name of a replaced folder until it is deleted."""
    return target.with_name(f"{_stray_prefix(target)}replaced")


def _stray_prefix(target: Path) -> str:
    """The start of the names beside a target, and of no others; names have at most 255 bytes."""
    name = os.fsencode(target.name)
    if len(name) <= 150:
        return f".{target.name}."
    digest = hashlib.blake2b(name, digest_size=4).hexdigest()
    return f".{name[:140].decode(errors='ignore')}-{digest}."


def remove_strays(target: Path) -> None:
    """Delete what killed processes left beside the target, if permissions allow it."""
    prefix = _stray_prefix(target)
    with suppress(OSError):
        for entry in target.parent.iterdir():
            stray = _STRAY.fullmatch(entry.name.removeprefix(prefix))
            if entry.name.startswith(prefix) and stray and _is_left(entry, *stray.group(1, 2)):
                remove(entry)


def _is_left(entry: Path, machine: str, process: str) -> bool:
    """Whether no process writes there any more; for other machines this is judged by age."""
    if machine == _machine():
        return not _is_running(int(process))
    return time.time() - entry.stat().st_mtime > _DAY


@cache
def _machine() -> str:
    """8 hex digits that are the same where a process number means the same process.

    Hosts share folders, and each container has its own process numbers.
    """
    parts = [os.fsencode(platform.node())]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_bytes())
        parts.append(os.fsencode(os.readlink("/proc/self/ns/pid")))
    return hashlib.blake2b(b"".join(parts), digest_size=4).hexdigest()


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere os.kill would disturb the process
        return True
    with suppress(PermissionError):
        try:
            os.kill(process, 0)
        except (ProcessLookupError, OverflowError):
            return False
    return True


def remove(path: Path) -> None:
    """Delete a file, a link, or a folder with its content, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
