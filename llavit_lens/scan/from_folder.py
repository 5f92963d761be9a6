"""The images of a folder and of all folders in it, and those that a pattern names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from llavit_lens.disk import shown
from llavit_lens.disk.names import reason
from llavit_lens.errors import ConfigurationError
from llavit_lens.scan.image_list import Files

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


def images_of_folder(folder: Path) -> Files:
    """All images in a folder and in the folders below it, sorted by their path.

    A file is taken for its suffix alone, so a broken one has its place, too. Names that begin with
    a dot are passed by. Links are followed, but each folder is read once: a link to one that was
    read already, as a loop of links has, is passed by.

    Raises:
        ConfigurationError: there is none, or a folder cannot be read.
    """
    origin = {"images": os.path.abspath(folder)}
    files = sorted(_walk(str(folder), "", set()))
    if not files:
        raise ConfigurationError(
            f"{shown(folder)}: holds no images (files that end in .jpg, .png, .webp and the like)"
        )
    return Files(Path(os.path.abspath(folder)), files, origin)


def _walk(folder: str, inside: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    """Paths from the first folder on, with slashes on every system."""
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
            yield from _walk(entry.path, f"{inside}{entry.name}/", seen)
        elif is_image_name(entry.name):
            yield f"{inside}{entry.name}"


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself: read as an image, and reported, by its suffix
        return False
