"""Patterns of file names: `photos/**/*.jpg`, and `data-{000..099}.tar`, which must all be there."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

from llavit_lens.disk import shown
from llavit_lens.errors import ConfigurationError

_BRACES = re.compile(r"\{(?:(\d+)\.\.(\d+)|([^{}]*,[^{}]*))\}")
_MOST = 1_000_000  # names that one pattern may stand for


def has_braces(pattern: str) -> bool:
    """Whether a pattern has a range {000..099} or a choice {train,val}."""
    return _BRACES.search(pattern) is not None


def expand_braces(pattern: str) -> list[str]:
    """All names that a pattern stands for, in its order; numbers keep their leading zeros.

    Raises:
        ConfigurationError: a range that goes down, or has more than a million numbers.
    """
    found = _BRACES.search(pattern)
    if found is None:
        return [pattern]
    first, last, choices = found.groups()
    if choices is not None:
        parts = choices.split(",")
    else:
        numbers = range(int(first), int(last) + 1)
        if not 0 < len(numbers) <= _MOST:
            raise ConfigurationError(
                f"{shown(pattern)}: the range {found[0]} goes down or is too long; give it as "
                "{FIRST..LAST}"
            )
        width = len(first) if first.startswith("0") else 0
        parts = [f"{number:0{width}d}" for number in numbers]
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [f"{before}{part}{rest}" for part in parts for rest in expand_braces(after)]


def is_glob(pattern: str) -> bool:
    """Whether a name has *, ? or […]."""
    return glob.has_magic(pattern)


def matches(pattern: str) -> tuple[Path, list[str]]:
    """The folder before the first part with a sign, and the sorted paths from there on."""
    parts = Path(pattern).parts
    first = next(i for i, part in enumerate(parts) if is_glob(part))
    folder, rest = Path(*parts[:first]), str(Path(*parts[first:]))
    found = glob.glob(rest, root_dir=folder, recursive=True)
    return Path(os.path.abspath(folder)), sorted(set(map(_with_slashes, found)))


def _with_slashes(path: str) -> str:
    return path.replace(os.sep, "/")
