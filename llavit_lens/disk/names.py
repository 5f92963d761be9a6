"""File names as people write them, and as messages show them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llavit_lens.errors import ConfigurationError, LlavitLensError, one_line, printable


def user_path(
    text: str | Path, *, what: str = "the path", error: type[LlavitLensError] = ConfigurationError
) -> Path:
    """A path as a person wrote it, with `~` replaced; the file need not exist.

    Raises:
        LlavitLensError: of the class `error`: no file can have this name, or there is no permission
            to look.
    """
    if not isinstance(text, (str, Path)):
        raise error(f"{what} is a text or a Path, not a {type(text).__name__}")
    if str(text) == "":
        raise error(f"{what} is empty; give a name")
    with refusing(error, f"{shown(text)}: {what} cannot be used ({{}})"):
        path = with_home(text)
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    return path


def with_home(text: str | Path) -> Path:
    """A path with `~`, `~/` and `~name/` replaced; `~t.png` and a folder `~t` stay as they are."""
    path = Path(text)
    first = Path(*path.parts[:1])
    literal = first.name != "~" and (len(path.parts) == 1 or first.exists())
    return path if literal else path.expanduser()


def is_web_address(path: str | Path) -> bool:
    """Whether a name is a web address, as text or as a `Path`."""
    return re.match(r"(?i)(https?|ftp|s3|gs|hf):/", str(path)) is not None


def shown(path: str | Path) -> str:
    """A path as a message can show it: without unprintable characters, and of limited length."""
    return printable(str(path)) or "''"


@contextmanager
def refusing(error: type[LlavitLensError], message: str) -> Iterator[None]:
    """Turn all errors of paths into one class; the last `{}` of the message becomes the reason."""
    try:
        yield
    except (OSError, ValueError, RuntimeError, TypeError) as cause:  # a NUL, ~nobody, None, …
        if isinstance(cause, error):  # it says already what is wrong
            raise
        before, _, after = message.rpartition("{}")  # names may have braces too
        raise error(f"{before}{reason(cause)}{after}") from cause


def reason(cause: Exception) -> str:
    """The text of a system error, on one line."""
    return getattr(cause, "strerror", None) or one_line(cause)
