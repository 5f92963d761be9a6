"""What a scan reads: one entry for all kinds of lists of images."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llavit_lens.corpus.from_coco import images_of_coco
from llavit_lens.corpus.from_folder import IMAGE_SUFFIXES, files_below, is_image_name
from llavit_lens.corpus.from_memory import GivenImages, one_image
from llavit_lens.corpus.from_table import images_of_table, is_table
from llavit_lens.corpus.from_tars import images_of_tars
from llavit_lens.corpus.image_list import Files, ImageList
from llavit_lens.corpus.patterns import expand_braces, has_braces, is_glob, matches
from llavit_lens.disk import check_file, shown, user_path
from llavit_lens.disk.names import with_home
from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import ImageSource
from llavit_lens.inputs import check_folder
from llavit_lens.shipped import named_example

_TAR = ".tar"
_COMPRESSED_TARS = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


def source_of(
    images: str | Path | ImageSource | Sequence[ImageSource] | ImageList,
    *,
    column: str | None = None,
    folder: str | Path | None = None,
) -> ImageList:
    """The list of images that a name stands for; its order is the same each time.

    Args:
        images: one of

            - a folder: all images in it and below it, by their suffixes, sorted by path; if it
              holds none, its .tar files
            - a list, .csv, .tsv, .jsonl, .ndjson or .parquet: its rows in their order, each image
              at its first row; `list.csv:COLUMN` names the column of the paths
            - a COCO-style .json, with `folder`: all its images, in its order
            - a .tar as webdataset writes them, or several: `data-{000000..000099}.tar`; sorted
              tars, members in their order
            - a pattern with *, ? or [...]: the images, folders or tars that it matches, sorted
            - one image, or `example:NAME`
            - a Python list of whatever `open_image` takes.
        column: of the paths in a list.
        folder: of the images, for a COCO-style file; where relative paths start, for a list.

    Raises:
        LlavitLensError: there is no such thing, it holds no image, or cannot be read; or an option
            has no effect on it.
    """
    if isinstance(images, ImageList):
        _no_options("a list of images", column, folder)
        return images
    if not isinstance(images, str | Path):
        _no_options("images in memory", column, folder)
        return _in_memory(images)
    if folder is not None:
        check_folder(Path(folder))
        folder = user_path(folder)
    example = named_example(str(images))
    path = example or user_path(images, what="the name of the images", error=ImageError)
    table, _, named = str(path).rpartition(":")
    if not path.exists() and named and is_table(Path(table)):
        if column is not None and column != named:
            raise ConfigurationError(f"{shown(images)}: the column is said twice; leave out one")
        path, column = Path(table), named
    if is_table(path):
        return images_of_table(path, column, folder)
    if path.suffix.lower() == ".json":
        _no_options("a COCO-style file", column, None)
        if folder is None:
            check_file(path)
            raise ConfigurationError(f"{shown(images)}: give the folder of its images, too")
        return images_of_coco(path, folder)
    _no_options(shown(images), column, folder)
    if example is not None:
        return one_image(example, str(images))
    if path.is_dir():
        return _folder(path)
    if path.name.lower().endswith((_TAR, *_COMPRESSED_TARS)) and not _is_pattern(path):
        check_file(path)
        return images_of_tars(_whole(path.parent), [path.name], {"images": str(_whole(path))})
    if _is_pattern(path):
        return _pattern(str(with_home(path)))
    return one_image(check_file(path, error=ImageError))


def _folder(path: Path) -> ImageList:
    files = files_below(path, (*IMAGE_SUFFIXES, _TAR))
    return _images_or_tars(_whole(path), files, {"images": str(_whole(path))}, shown(path))


def _pattern(pattern: str) -> ImageList:
    origin = {"images": os.path.abspath(pattern)}
    if has_braces(pattern):
        tars = [os.path.abspath(name) for name in expand_braces(pattern)]
        common = Path(os.path.commonpath([os.path.dirname(tar) for tar in tars]))
        names = [Path(tar).relative_to(common).as_posix() for tar in tars]
        if not all(name.lower().endswith(_TAR) for name in names):
            raise ConfigurationError(f"{shown(pattern)}: only names of .tar files may have braces")
        return images_of_tars(common, list(dict.fromkeys(names)), origin)
    folder, found = matches(pattern)
    files = {name for name in found if not (folder / name).is_dir()}
    for name in found:
        if (folder / name).is_dir():
            files.update(
                f"{name}/{file}" for file in files_below(folder / name, (*IMAGE_SUFFIXES, _TAR))
            )
    if not files:
        raise ConfigurationError(f"{shown(pattern)}: matches no file")
    return _images_or_tars(folder, sorted(files), origin, shown(pattern))


def _images_or_tars(
    folder: Path, files: Sequence[str], origin: Mapping[str, str], what: str
) -> ImageList:
    """The images among files; where there are none, those in tars."""
    images = [name for name in files if is_image_name(name)]
    tars = [name for name in files if name.lower().endswith(_TAR)]
    if images:
        remark = f"{what}: {len(tars)} .tar files are not read, beside images; name them alone"
        return Files(folder, images, origin, [remark] if tars else [])
    if tars:
        return images_of_tars(folder, tars, origin)
    raise ConfigurationError(
        f"{what}: holds no images (files that end in .jpg, .png, .webp and the like)"
    )


def _in_memory(images: Any) -> ImageList:
    if isinstance(images, list | tuple):
        return GivenImages(images)
    if hasattr(images, "__next__"):
        raise ConfigurationError(
            "an iterator of images can be read once only; give a list: list(images)"
        )
    return GivenImages([images])


def _no_options(what: str, column: str | None, folder: object) -> None:
    for name, value in (("column", column), ("folder", folder)):
        if value is not None:
            raise ConfigurationError(f"{what}: takes no {name}; leave it out")


def _is_pattern(path: Path) -> bool:
    return not path.exists() and (has_braces(str(path)) or is_glob(str(path)))


def _whole(path: Path) -> Path:
    return Path(os.path.abspath(path))
