"""Labelled images from COCO-style files: a JSON of annotations, and a folder of images.

Such files come from COCO itself, from LVIS and from most annotation tools. An object's name is its
category; attributes that are words (`"attributes": {"color": "red"}`, as CVAT writes them) are its
attributes, in lower case. Crowd regions are neither object nor background. Categories that a data
set does not label everywhere count as background: leaks onto it then are an upper bound.

What cannot be used is left out alone: an annotation, or an image. Pixels where something is
labelled that had to be left out are neither object nor background. All of it is in the `report`.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llavit_lens.disk import shown, user_path
from llavit_lens.errors import ConfigurationError, ImageError, printable
from llavit_lens.evaluation.labelled.coco_file import Annotation, Entry, is_text, read_coco
from llavit_lens.evaluation.labelled.coco_masks import box_of, shape_of
from llavit_lens.evaluation.labelled.coco_places import Places
from llavit_lens.evaluation.labelled.label_report import LabelReport
from llavit_lens.evaluation.labelled.labelled_images import (
    LabelledImage,
    LabelledObject,
    LazyImages,
)
from llavit_lens.evaluation.labelled.recolour import recolouring
from llavit_lens.images.open import open_oriented
from llavit_lens.images.orientation import (
    UPRIGHT,
    Orientation,
    check_orientation,
    labels_orientation,
    stored_size,
    upright_mask,
)


def coco_images(
    annotations: str | Path,
    images: str | Path,
    words: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    changes: bool = True,
    orientation: Orientation | None = None,
) -> LazyImages:
    """The images of which an object is labelled, shuffled; each is read when its turn comes.

    Args:
        annotations: the JSON file.
        images: folder of the images. An image that is not there under its whole name is looked
            for without the folders before it, where no other image of the file ends like it.
        words: more words that are true of a category, such as {"person": ["man", "woman"]}.
        seed: of the order.
        changes: with the image recoloured where an object has a color among its attributes.
        orientation: the pixels that annotations refer to: "upright", those of the image as it is
            shown, or "stored", those of the file before its EXIF orientation is applied. Without
            it they are taken as upright, with a warning where the image is turned and its size
            in the file does not show it.

    Returns:
        Images, and their `report`: what was left out, and why. What is wrong with segmentations
        and image files is known, and on the report, when an image has been read.

    Raises:
        ConfigurationError: the file cannot be read, is no such file, or has no object that could
            be read; or an argument is of the wrong type.
        ImageError: what is wrong with one image, when it is its turn: its file or its size, or
            no annotation of it is left.
    """
    check_orientation(orientation)
    path, report = user_path(annotations, what="the file of annotations"), LabelReport()
    folder = user_path(images, what="the folder of the images")
    if not folder.is_dir():
        raise ConfigurationError(f"{shown(folder)}: there is no such folder")
    more = _checked_words(words)
    content = read_coco(path, report)
    if unknown := sorted(map(ascii, set(more) - content.categories)):
        raise ConfigurationError(f"{shown(path)}: has no category {', '.join(unknown)}")
    places = Places(shown(path), folder, (entry.name for entry in content.entries))
    source = _Source(places, more, orientation)
    records = [
        entry
        for entry in content.entries
        if any(annotation.category is not None for annotation in entry.annotations)
    ]
    if not records:
        reasons = "".join(f"; {line}" for line in report.lines)
        raise ConfigurationError(f"{shown(path)}: labels no object in any image{reasons}")
    random.Random(seed).shuffle(records)
    labelled = LazyImages(records, lambda entry: _labelled(entry, source, report), report)
    return with_color_changes(labelled) if changes else labelled


def with_color_changes(images: LazyImages) -> LazyImages:
    """The same images and report; images also recoloured where the color of an object is known."""

    def make(image: LabelledImage) -> LabelledImage:
        change = recolouring(image)
        return image if change is None else replace(image, changes=(change,))

    return LazyImages(images, make, images.report)


def _checked_words(words: Any) -> dict[str, Collection[str]]:
    if words is None:
        return {}
    if not isinstance(words, Mapping):
        raise ConfigurationError(
            f"words is a dictionary of lists of words by category, not a {type(words).__name__}"
        )
    for category, others in words.items():
        is_list = isinstance(others, Collection) and not isinstance(others, str | bytes | Mapping)
        if not is_list or not all(map(is_text, others)):
            raise ConfigurationError(f"words of {category!r}: give a list of words")
    return dict(words)


@dataclass(frozen=True)
class _Source:
    """What all images of a file share."""

    places: Places
    words: Mapping[str, Collection[str]]
    orientation: Orientation | None


def _labelled(entry: Entry, source: _Source, report: LabelReport) -> LabelledImage:
    image, tag = open_oriented(source.places.file_of(entry.name, report))
    refers_to = _orientation(entry, source, image.size, tag, report)
    stored = refers_to == "stored"
    width, height = stored_size(image.size, tag) if stored else image.size
    objects: list[LabelledObject] = []
    unknown = np.zeros((height, width), bool)
    why: list[str] = []
    for annotation in entry.annotations:
        try:
            shape = shape_of(annotation.content, height, width)
        except ValueError as error:
            if annotation.category is not None:
                why.append(str(error))
                report.add(f"annotations left out, {error}", annotation.place)
            else:
                report.add(f"regions of unknown objects left out, {error}", annotation.place)
            unknown |= _box(annotation, height, width)
            continue
        if annotation.category is None:
            unknown |= shape.mask
            continue
        if shape.left_out:
            report.add("annotations of which malformed polygons are left out", annotation.place)
            unknown |= _box(annotation, height, width)
        if shape.is_cut:
            report.add("annotations that reach beyond their image, cut off", annotation.place)
        mask = upright_mask(shape.mask, tag) if stored else shape.mask
        objects.append(_object(annotation, mask, source.words))
    if not objects:
        raise ImageError(
            f"{source.places.annotations}: {printable(entry.name)}: no annotation of it can be "
            f"used; of the first one: {why[0]}"
        )
    unknown = upright_mask(unknown, tag) if stored else unknown
    return LabelledImage(image, tuple(objects), unknown if unknown.any() else None)


def _object(
    annotation: Annotation, mask: np.ndarray, words: Mapping[str, Collection[str]]
) -> LabelledObject:
    attributes = annotation.content.get("attributes")
    return LabelledObject(
        mask,
        annotation.category,
        frozenset(words.get(annotation.category or "", ())),
        {
            kind: word.strip().lower()
            for kind, word in (attributes.items() if isinstance(attributes, dict) else ())
            if is_text(word) and is_text(kind)
        },
    )


def _box(annotation: Annotation, height: int, width: int) -> np.ndarray:
    """The pixels in the box of an annotation that is left out; none where it has no good one."""
    try:
        return box_of(annotation.content, height, width)
    except ValueError:
        return np.zeros((height, width), bool)


def _orientation(
    entry: Entry, source: _Source, size: tuple[int, int], tag: int, report: LabelReport
) -> Orientation:
    """Which pixels the annotations of an image refer to; `size` is its upright one.

    Raises:
        ImageError: the image has another size than the file says, or it cannot be told.
    """
    stored = stored_size(size, tag)
    fits_upright, fits_stored = _fits(entry, size), _fits(entry, stored)
    said = source.orientation
    if tag == UPRIGHT and fits_upright:
        return "upright"
    if said == "stored" and fits_stored:
        return "stored"
    if said == "upright" and (fits_upright or fits_stored):
        return "upright"
    if said is None and fits_upright:
        if fits_stored:
            report.add(
                "images turned by their EXIF orientation, and annotations taken to refer to the "
                "upright image (orientation='stored' if they do not)",
                entry.name,
            )
            labels_orientation(tag, size, None, None)  # warns
        return "upright"
    problem = (
        f"{source.places.annotations}: {printable(entry.name)} is {_shown(entry.width)} x "
        f"{_shown(entry.height)} there, but the image is {size[0]} x {size[1]} (width x height, "
        "upright)"
    )
    if stored != size:
        problem += f" and {stored[0]} x {stored[1]} as it is stored (EXIF orientation {tag})"
    if said is None and fits_stored:
        problem += (
            "; some tools write the one size and draw on the other, so say which pixels "
            "annotations refer to: orientation='upright' or 'stored'"
        )
    raise ImageError(problem)


def _shown(side: float | None) -> str:
    return "?" if side is None else f"{side:g}"


def _fits(entry: Entry, size: tuple[int, int]) -> bool:
    """Whether a size is the one in the file, as far as it has one."""
    return entry.width in (None, size[0]) and entry.height in (None, size[1])
