"""The files of a folder and of all folders in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from llavit_lens.disk import shown
from llavit_lens.disk.names import reason
from llavit_lens.errors import ConfigurationError

# Written out, not asked of Pillow: the list must not change with its version.
# fmt: off
IMAGE_SUFFIXES = (
    ".apng", ".avif", ".bmp", ".dib", ".gif", ".j2k", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg",
    ".jpx", ".mpo", ".pbm", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)
# fmt: on
"""Ends of file names that a folder is searched for, in lower case."""


def is_image_name(name: str) -> bool:
    """Whether a file's name ends as those of images do, in capitals or not."""
    return name.lower().endswith(IMAGE_SUFFIXES)


def files_below(folder: Path, suffixes: tuple[str, ...]) -> list[str]:
    """Files in a folder and in the folders below it, by the ends of their names, sorted by path.

    A file is taken for its suffix alone, so a broken image has its place, too. Names that begin
    with a dot are passed by. Links are followed, but each folder is read once: a link to one that
    was read already, as a loop of links has, is passed by.

    Returns:
        Paths from the folder on, with slashes on every system.

    Raises:
        ConfigurationError: a folder cannot be read.
    """
    return sorted(_walk(str(folder), "", suffixes, set()))


def _walk(
    folder: str, inside: str, suffixes: tuple[str, ...], seen: set[tuple[int, int]]
) -> Iterator[str]:
    try:
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            return
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as opened:
            entries = sorted(opened, key=lambda entry: entry.name)
    except OSError as error:
        raise ConfigurationError(
            f"{shown(folder)}: cannot be read ({reason(error)}); make it readable, or list the "
            "images in a file (CSV)"
        ) from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if _is_folder(entry):
            yield from _walk(entry.path, f"{inside}{entry.name}/", suffixes, seen)
        elif entry.name.lower().endswith(suffixes):
            yield f"{inside}{entry.name}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: read as an image, and reported, by its suffix
        return False
