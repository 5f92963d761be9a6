"""Writers that are killed at random moments."""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KILLS = [pytest.param(4, id="4 kills"), pytest.param(20, id="20 kills", marks=pytest.mark.slow)]


def kill_after(seconds: float, action: Callable[[], Any]) -> bool:
    """Kill a child that does the action after so many seconds; False: it had ended before."""
    child = os.fork()
    if child == 0:
        action()
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


def files_of(folder: Path) -> dict[str, str]:
    """Names and hashes of a folder's files."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }
