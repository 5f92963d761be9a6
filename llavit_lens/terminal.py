"""How a program ends on a terminal: with an exit code and at most one line about an error."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import sys
from collections.abc import Callable

from llavit_lens.disk import shown
from llavit_lens.errors import LlavitLensError, one_line

DEBUG = "LLAVIT_LENS_DEBUG"
"""The environment variable that shows tracebacks."""

FAULT, REFUSED, INTERRUPTED, BROKEN_PIPE = 1, 2, 130, 141
"""Exit codes: of a fault in this program, of what was refused or could not be written; the other
two as shells give them."""

_NO_OUTPUT = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}
"""Of errors that name no file: what printing can end with."""

_NO_MEMORY = re.compile(r"(?i)(can(no|')t|unable to|tried to) allocate|out of memory")
"""How torch, CUDA, numpy and the system say that memory is short, under many class names."""


def run(application: Callable[[], object]) -> None:
    """Run a typer application and leave the program.

    An error that is meant for the user becomes one line and the exit code 2. So does output that
    cannot be written; but if its reader has left (`| head`), nothing is printed. An
    unexpected error becomes one line that says how to report it.

    Raises:
        SystemExit: always.
    """
    _mend_streams()
    if sys.stdout is None:
        _say("error: standard output is closed; redirect it to a file or to /dev/null")
        raise SystemExit(REFUSED)
    try:
        code = _exit_code(application)
        sys.stdout.flush()  # while an error can still be reported
    except BrokenPipeError:
        _drop_output()
        code = BROKEN_PIPE
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        code = _report(error)
    if code == INTERRUPTED:
        _say("interrupted")
    raise SystemExit(code)


def _exit_code(application: Callable[[], object]) -> int:
    try:
        application()
    except SystemExit as stop:
        if isinstance(stop.__context__, BrokenPipeError):  # which rich and typer turn into an exit
            raise stop.__context__ from stop
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0


def _report(error: Exception) -> int:
    """Print one line on an error; returns the exit code."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()  # what was printed before it
    if isinstance(error, LlavitLensError):
        _say(f"error: {error}")
        return REFUSED
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        _say(f"error: there is not enough memory ({one_line(error)})")
        return REFUSED
    if isinstance(error, OSError) and error.filename is not None:
        _say(f"error: {shown(error.filename)}: {error.strerror or one_line(error)}")
        return REFUSED
    if isinstance(error, OSError) and error.errno in _NO_OUTPUT:
        _drop_output()
        _say(f"error: the output: {error.strerror}")
        return REFUSED
    _say(
        f"error: {type(error).__name__}: {one_line(error)}; this is a fault in llavit-lens: please "
        f"report it, with what the same command prints after `export {DEBUG}=1`"
    )
    return FAULT


def _say(text: str) -> None:
    with contextlib.suppress(OSError):
        print(f"llavit-lens: {text}", file=sys.stderr, flush=True)


def _mend_streams() -> None:
    """Open closed streams on the null device, and print what has no encoding as escapes."""
    for number in (0, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: the next file that is opened would take its place
            os.dup2(os.open(os.devnull, os.O_RDWR), number)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 (for the life of the program)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Python writes what is left when it ends, and would fail once more."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
