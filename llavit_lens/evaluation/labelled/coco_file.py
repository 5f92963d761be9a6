"""COCO-style files as COCO, LVIS and the labelling tools write them, entry by entry.

An entry that cannot be used is left out alone, and is on the report. Where it is known that there
is something, but not what, the annotation is kept without a category: its pixels are neither object
nor background. Ids are compared as texts, as some tools write them once as numbers and once as
texts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

from llavit_lens.disk import read_json, shown
from llavit_lens.errors import ConfigurationError, printable
from llavit_lens.evaluation.labelled.label_report import LabelReport

_MAX_BYTES = 2 * 2**30  # the largest files in use, those of LVIS, are half as large
_LONGEST_NAME = 4096  # characters: the longest path that Linux opens
Value = TypeVar("Value")
_CROWD = {"": False, "0": False, "false": False, "none": False, "1": True, "true": True}


@dataclass(frozen=True)
class Annotation:
    """One annotation of an image.

    Attributes:
        content: the entry of the file.
        place: where it stands in the file.
        category: its name; None where it is not one known object: a crowd, or not known of what.
    """

    content: Mapping[str, Any]
    place: str
    category: str | None


@dataclass(eq=False)
class Entry:
    """One image of the file.

    Attributes:
        name: of the image file, as the annotations have it.
        width, height: as the annotations have them, in pixels; None where they have none.
        annotations: of this image.
    """

    name: str
    width: float | None
    height: float | None
    annotations: list[Annotation] = field(default_factory=list)


@dataclass(frozen=True)
class CocoFile:
    """What could be read of a file.

    Attributes:
        entries: the images, also those without annotations.
        categories: names of all categories.
    """

    entries: list[Entry]
    categories: frozenset[str]


def read_coco(path: Path, report: LabelReport) -> CocoFile:
    """The images and annotations of a file; what is left out is added to the report.

    Raises:
        ConfigurationError: the file cannot be read or is no COCO-style file.
    """
    content = read_json(path, max_bytes=_MAX_BYTES)
    for part in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(part), list):
            raise ConfigurationError(f"{shown(path)}: is no COCO-style file: no list {part!r}")
    names = _categories(content["categories"], report)
    entries = _entries(content["images"], report)
    for place, annotation in _objects("annotations", content["annotations"], report):
        entry = entries.get(_id(annotation.get("image_id")) or "")
        if entry is None:
            report.add("annotations left out, no image has their image_id", place)
            continue
        place = f"{place} of {entry.name}"
        category = names.get(_id(annotation.get("category_id")) or "")
        crowd = _CROWD.get(str(annotation.get("iscrowd", 0)).strip().lower().removesuffix(".0"))
        if crowd:
            report.add("crowds (iscrowd 1), neither object nor background", place)
        elif "segments_info" in annotation:
            report.add("annotations left out, panoptic: convert them to COCO's detections", place)
        elif category is None:
            report.add("annotations left out, no category has their category_id", place)
        elif crowd is None:
            report.add("annotations left out, iscrowd is neither 0 nor 1", place)
        known = category if crowd is False and "segments_info" not in annotation else None
        entry.annotations.append(Annotation(annotation, place, known))
    unique = {id(entry): entry for entry in entries.values()}
    return CocoFile(list(unique.values()), frozenset(names.values()))


def is_text(value: Any) -> TypeGuard[str]:
    """Whether a value is a text that can be printed and tokenized, and is more than blanks."""
    try:
        return isinstance(value, str) and bool(value.strip()) and bool(value.encode())
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _categories(entries: list[Any], report: LabelReport) -> dict[str, str]:
    """Names by id."""
    names: list[tuple[str, str, str]] = []
    for place, entry in _objects("categories", entries, report):
        number, name = _id(entry.get("id")), entry.get("name")
        if number is None or not is_text(name):
            report.add("categories left out, they need an id and a name", place)
        else:
            names.append((number, name.strip(), place))
    return _by_id("categories", names, report)


def _entries(images: list[Any], report: LabelReport) -> dict[str, Entry]:
    """Images by id; several ids of one image share it, unless they give it several sizes."""
    images_of: dict[str, list[tuple[str, Entry, str]]] = {}
    for place, image in _objects("images", images, report):
        number = _id(image.get("id"))
        # LVIS has the address alone
        name = next((text for text in map(image.get, ("file_name", "coco_url")) if text), None)
        if number is None or not is_text(name) or "\0" in name:
            report.add("images left out, they need an id and a file_name", place)
            continue
        if len(name) > _LONGEST_NAME:
            reason = f"their file_name has more than {_LONGEST_NAME} characters"
            report.add(f"images left out, {reason}", place)
            continue
        entry = Entry(name.strip(), _side(image.get("width")), _side(image.get("height")))
        images_of.setdefault(_with_slashes(entry.name), []).append((number, entry, place))
    entries = [entry for same in images_of.values() for entry in _shared(same, report)]
    return _by_id("images", entries, report)


def _shared(
    images: list[tuple[str, Entry, str]], report: LabelReport
) -> list[tuple[str, Entry, str]]:
    """The (id, entry, place) of one file, with one entry for each size that they give it."""
    by_size: dict[tuple[float | None, float | None], Entry] = {}
    for _, entry, _ in images:
        by_size.setdefault((entry.width, entry.height), entry)
    unknown = by_size.get((None, None))
    if unknown is not None and len(by_size) == 2:  # the size that the others give
        by_size[None, None] = next(entry for entry in by_size.values() if entry is not unknown)
    elif len(by_size) > 1:
        for _, _, place in images:
            report.add("images of which another entry gives another size", place)
    return [(number, by_size[e.width, e.height], place) for number, e, place in images]


def _by_id(
    part: str, entries: list[tuple[str, Value, str]], report: LabelReport
) -> dict[str, Value]:
    """Entries of (id, value, place) by id, without ids that have several values."""
    values: dict[str, Value] = {}
    unclear: set[str] = set()
    for number, value, _ in entries:
        if values.setdefault(number, value) != value:
            unclear.add(number)
    for number, _, place in entries:
        if number in unclear:
            report.add(f"{part} left out, another one has their id", place)
    return {number: value for number, value in values.items() if number not in unclear}


def _objects(
    part: str, entries: list[Any], report: LabelReport
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The entries that are JSON objects, with the places where they stand."""
    for number, entry in enumerate(entries):
        place = f"{part}[{number}]"
        if isinstance(entry, dict):
            own = entry.get("id")
            yield place if own is None else f"{place}, id {printable(str(own), 40)}", entry
        else:
            report.add(f"{part} left out, they are no JSON objects", place)


def _id(value: Any) -> str | None:
    """An id as a text; None if it is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    return str(value).strip() or None


def _side(value: Any) -> float | None:
    """A width or height in pixels; None where the file does not know it, as some write 0 or -1."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        side = float(value)
    except (ValueError, OverflowError):
        return None
    return side if side > 0 else None


class Endings:
    """The ends of many file names, in memory that grows with their length alone."""

    def __init__(self, names: Iterable[str]) -> None:
        self._backwards = sorted(_backwards(name) for name in {_with_slashes(n) for n in names})

    def has_one(self, end: str) -> bool:
        """Whether exactly one of the names ends in a path."""
        start = _backwards(end)
        first = bisect_left(self._backwards, start)
        same = [name.startswith(start) for name in self._backwards[first : first + 2]]
        return same.count(True) == 1


def ends_of(name: str) -> Iterator[str]:
    """A file name without more and more of the folders before it: "a/b/c.png", "b/c.png", "c.png".

    Also of Windows paths, addresses, and the query in which Label Studio names local files.
    """
    parts = _parts(name)
    return ("/".join(parts[first:]) for first in range(len(parts)))


def _backwards(name: str) -> str:
    """A file name from its last part on: what ends alike starts alike."""
    return "".join(f"{part}/" for part in reversed(_parts(name)))


def _parts(name: str) -> list[str]:
    path = _with_slashes(name).rsplit("?d=", 1)[-1]
    return [part for part in path.split("/") if part not in ("", ".", "..")]


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")
