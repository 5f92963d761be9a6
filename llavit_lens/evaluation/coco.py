"""Labelled pictures from COCO-style files: a JSON of annotations, and a folder of pictures.

Such files come from COCO itself and from most annotation tools. An object's name is its category;
attributes that are words (`"attributes": {"color": "red"}`, as CVAT writes them) are its
attributes, in lower case. Crowd regions are neither object nor background. Categories that a data
set does not label everywhere count as background: leaks onto it then are an upper bound.
"""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.evaluation.coco_masks import mask_of
from llavit_lens.evaluation.labelled import LabelledObject, LabelledPicture, LazyPictures
from llavit_lens.evaluation.recolour import recolouring
from llavit_lens.vlm.images import open_image


@dataclass(frozen=True)
class _Record:
    """A picture of the file, and its annotations with the names of their categories."""

    image: Mapping[str, Any]
    annotations: tuple[tuple[Mapping[str, Any], str], ...]


def coco_pictures(
    annotations: str | Path,
    images: str | Path,
    words: Mapping[str, Sequence[str]] | None = None,
    seed: int = 0,
    changes: bool = True,
) -> LazyPictures:
    """The pictures of which an object is labelled, shuffled; each is read when its turn comes.

    Args:
        annotations: the JSON file.
        images: folder of the pictures.
        words: more words that are true of a category, such as {"person": ["man", "woman"]}.
        seed: of the order.
        changes: with the picture recoloured where an object has a color among its attributes.

    Raises:
        ConfigurationError: the file cannot be read, is no such file, or contradicts itself.
        ImageError: what is wrong with one picture, its size or its masks, when it is its turn.
    """
    path, folder = Path(annotations), Path(images)
    content = _read(path)
    names = {entry["id"]: entry["name"] for entry in content["categories"]}
    pictures = {entry["id"]: entry for entry in content["images"]}
    found: dict[Any, list[tuple[Mapping[str, Any], str]]] = defaultdict(list)
    for annotation in content["annotations"]:
        for kind, known in (("image_id", pictures), ("category_id", names)):
            if annotation[kind] not in known:
                raise ConfigurationError(
                    f"{path}: annotation {annotation.get('id')} has {kind} {annotation[kind]}, "
                    "which the file does not list"
                )
        found[annotation["image_id"]].append((annotation, names[annotation["category_id"]]))
    more = {} if words is None else dict(words)
    if unknown := sorted(set(more) - set(names.values())):
        raise ConfigurationError(f"{path}: has no category {', '.join(map(repr, unknown))}")
    records = [
        _Record(pictures[number], tuple(own))
        for number, own in found.items()
        if any(not annotation.get("iscrowd") for annotation, _ in own)
    ]
    if not records:
        raise ConfigurationError(f"{path}: labels no object in any picture")
    random.Random(seed).shuffle(records)
    return LazyPictures(records, lambda own: _picture(own, path, folder, more, changes))


# What entries need: numbers or texts, which tell them apart, and texts.
_FIELDS = {
    "images": (("id",), ("file_name",)),
    "annotations": (("image_id", "category_id"), ()),
    "categories": (("id",), ("name",)),
}


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise ConfigurationError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path}: is no JSON ({error})") from error
    for part, (keys, texts) in _FIELDS.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ConfigurationError(f"{path}: is no COCO-style file: it has no list {part!r}")
        for number, entry in enumerate(entries):
            own = entry if isinstance(entry, dict) else {}
            if not all(isinstance(own.get(name), int | str) for name in keys) or not all(
                isinstance(own.get(name), str) and own[name].strip() for name in texts
            ):
                needs = [f"{name} (a number or text)" for name in keys]
                needs += [f"{name} (a text)" for name in texts]
                raise ConfigurationError(f"{path}: {part}[{number}] needs {' and '.join(needs)}")
        counts = Counter(entry["id"] for entry in entries if "id" in keys)
        if twice := [number for number, count in counts.items() if count > 1]:
            raise ConfigurationError(f"{path}: several {part} have the id {twice[0]!r}")
    return content


def _picture(
    record: _Record,
    path: Path,
    folder: Path,
    more: Mapping[str, Sequence[str]],
    changes: bool,
) -> LabelledPicture:
    name = record.image["file_name"]
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ConfigurationError(f"{path}: the picture {name!r} lies outside of {folder}")
    image = open_image(file)
    said = tuple(
        record.image.get(side, own)
        for side, own in zip(("width", "height"), image.size, strict=True)
    )
    if said != image.size:
        raise ImageError(
            f"{path}: {name} is {said[0]} x {said[1]} there, but the picture is "
            f"{image.width} x {image.height} (width x height, upright)"
        )
    objects, unknown = [], np.zeros((image.height, image.width), bool)
    for annotation, category in record.annotations:
        try:
            mask = mask_of(annotation, image.height, image.width)
        except ValueError as error:
            raise ImageError(
                f"{path}: annotation {annotation.get('id')} of {name}: {error}"
            ) from error
        if annotation.get("iscrowd"):
            unknown |= mask
            continue
        attributes = annotation.get("attributes")
        own = attributes.items() if isinstance(attributes, dict) else ()
        objects.append(
            LabelledObject(
                mask,
                category,
                frozenset(more.get(category, ())),
                {
                    kind: word.strip().lower()
                    for kind, word in own
                    if isinstance(word, str) and word.strip()
                },
            )
        )
    picture = LabelledPicture(image, tuple(objects), unknown if unknown.any() else None)
    change = recolouring(picture) if changes else None
    return picture if change is None else replace(picture, changes=(change,))
