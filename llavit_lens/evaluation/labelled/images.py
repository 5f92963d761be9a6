"""Pictures with labels: which thing is where, and which visual tokens show it.

This is all that the readability measures know of a data set: the demo world and COCO-style files
are made into it, and anything else can be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from inspect import isgenerator
from typing import Any, overload

import numpy as np
from PIL import Image

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.evaluation.labelled.report import LabelReport
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import open_image, open_oriented
from llavit_lens.images.orientation import (
    Orientation,
    check_orientation,
    labels_orientation,
    upright_mask,
)
from llavit_lens.images.regions import Mask

OBJECT_COVER = 0.25
"""A visual token belongs to the object that covers the most of its box, and at least this share."""

BACKGROUND, MIXED = -1, -2
"""Owners of visual tokens that are no object's."""

_ROUNDING = 1e-9  # a smaller share of a box is rounding of its edges


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One thing in a picture.

    Attributes:
        mask: bool [height, width] of the original picture.
        name: what it is called; None for a thing that has no name of its own.
        words: every word that is true of it; the name and the attributes are added.
        attributes: words of named kinds, such as {"color": "red"}.
    """

    mask: np.ndarray
    name: str | None
    words: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", np.asarray(self.mask))
        own = {*self.attributes.values(), *([self.name] if self.name is not None else [])}
        object.__setattr__(self, "words", frozenset(self.words) | own)


@dataclass(frozen=True, eq=False)
class Change:
    """The same picture with one thing changed, and the word that should change with it.

    Attributes:
        kind: `recolour` or `replace`, or another name for the measures of such changes.
        image: the changed picture, as large as the original.
        mask: bool [height, width], pixels that show the thing before and after.
        old, new: what is true at these pixels before and after.
    """

    kind: str
    image: Image.Image
    mask: np.ndarray
    old: str
    new: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", np.asarray(self.mask))


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """A picture and what is known of it.

    Attributes:
        image: the picture, upright and RGB. It may be given as `open_image` takes it, so a Pillow
            image as `Image.open` gave it is turned by its EXIF orientation.
        objects: what is in it; what no object covers is background.
        unknown: bool [height, width], pixels that are neither object nor background; or None.
        changes: counterfactuals of it.

    Args:
        orientation: the pixels that the masks refer to: "upright", those of the upright image, or
            "stored", those of the file, with which the masks are turned. Without it their size
            decides; where that says nothing they are taken as upright, with a warning.

    Raises:
        ImageError: an image that cannot be read.
        ConfigurationError: a mask that is not as large as the picture.
    """

    image: Image.Image
    objects: tuple[LabelledObject, ...]
    unknown: np.ndarray | None = None
    changes: tuple[Change, ...] = ()
    orientation: InitVar[Orientation | None] = None

    def __post_init__(self, orientation: Orientation | None) -> None:
        check_orientation(orientation)
        image, tag = open_oriented(self.image)
        object.__setattr__(self, "image", image)
        changes = tuple(replace(own, image=open_image(own.image)) for own in self.changes)
        object.__setattr__(self, "changes", changes)
        if self.unknown is not None:
            object.__setattr__(self, "unknown", np.asarray(self.unknown))
        masks = self._masks()
        if masks and all(mask.ndim == 2 for mask in masks):
            sizes = {mask.shape[::-1] for mask in masks}
            size = image.size if image.size in sizes else sizes.pop()
            if labels_orientation(tag, image.size, size, orientation) == "stored":
                self._turn_masks(tag)
        self._check_sizes()

    def _masks(self) -> list[np.ndarray]:
        masks = [thing.mask for thing in self.objects] + [change.mask for change in self.changes]
        return masks if self.unknown is None else [*masks, self.unknown]

    def _turn_masks(self, tag: int) -> None:
        objects = (replace(own, mask=upright_mask(own.mask, tag)) for own in self.objects)
        changes = (replace(own, mask=upright_mask(own.mask, tag)) for own in self.changes)
        object.__setattr__(self, "objects", tuple(objects))
        object.__setattr__(self, "changes", tuple(changes))
        if self.unknown is not None:
            object.__setattr__(self, "unknown", upright_mask(self.unknown, tag))

    def _check_sizes(self) -> None:
        width, height = self.image.size
        for mask in self._masks():
            if mask.shape != (height, width) or mask.dtype != np.bool_:
                raise ConfigurationError(
                    f"a mask is {mask.dtype} {list(mask.shape)}, but the picture has {height} x "
                    f"{width} pixels (height x width); masks are bool, one value for each pixel"
                )
        for change in self.changes:
            if change.image.size != self.image.size:
                raise ConfigurationError(
                    f"a changed picture is {change.image.size}, the picture {self.image.size} "
                    "(width, height); they have to be of one size"
                )


def covered(layout: VisualLayout, mask: np.ndarray) -> np.ndarray:
    """float64 [n], the share of each visual token's box that a mask covers; 0 in padding.

    Args:
        mask: bool [height, width] of the original picture.
    """
    left, top, right, bottom = layout.boxes.T
    whole = (right - left) * (bottom - top)
    area = Mask(mask, orientation="upright").area(layout)
    share = np.divide(area, whole, out=np.zeros_like(area), where=layout.on_image)
    return np.where(share < _ROUNDING, 0.0, share)


@dataclass(frozen=True, eq=False)
class Owners:
    """Whose the n visual tokens of a picture are.

    Attributes:
        owner: int64 [n], index of an object, BACKGROUND or MIXED.
        share: float64 [objects, n], how much of each token's box an object covers.
    """

    owner: np.ndarray
    share: np.ndarray


def owners_of(layout: VisualLayout, picture: LabelledImage) -> Owners:
    """A token is the object's that covers the most of it, if that is OBJECT_COVER of it or more.

    It is background where nothing that is labelled touches it, and MIXED in all other places: edges
    of objects, pixels of which nothing is known, padding. Holds for any grid and any tiles, as it
    goes by the boxes of the layout alone.
    """
    share = np.zeros((len(picture.objects), len(layout)))
    for i, thing in enumerate(picture.objects):
        share[i] = covered(layout, thing.mask)
    touched = share.sum(0)
    if picture.unknown is not None:
        touched += covered(layout, picture.unknown)
    owner = np.where(layout.on_image & (touched == 0), BACKGROUND, MIXED)
    if len(share):
        enough = share.max(0) >= OBJECT_COVER - _ROUNDING
        owner = np.where(enough, share.argmax(0), owner)
    return Owners(owner.astype(np.int64), share)


def readable(
    pictures: Iterable[LabelledImage], unreadable: dict[str, None]
) -> Iterator[LabelledImage]:
    """The pictures that can be read; what is wrong with the others is added to `unreadable`.

    Raises:
        ImageError: a generator's, which cannot go on after it.
    """
    left = iter(pictures)
    while True:
        try:
            picture = next(left)
        except StopIteration:
            return
        except ImageError as error:
            if isgenerator(left):
                raise
            unreadable[str(error)] = None
        else:
            yield picture


class LazyPictures(Sequence[LabelledImage]):
    """Pictures that are made when they are asked for, one at a time; a slice makes none.

    Attributes:
        report: what was left out of their labels; it grows while pictures are made. Slices share
            it.
    """

    def __init__(
        self,
        records: Sequence[Any],
        make: Callable[[Any], LabelledImage],
        report: LabelReport | None = None,
    ) -> None:
        self._records, self._make = records, make
        self.report = LabelReport() if report is None else report

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> LabelledImage: ...
    @overload
    def __getitem__(self, index: slice) -> LazyPictures: ...
    def __getitem__(self, index: int | slice) -> LabelledImage | LazyPictures:
        if isinstance(index, slice):
            return LazyPictures(self._records[index], self._make, self.report)
        return self._make(self._records[index])

    def __iter__(self) -> Iterator[LabelledImage]:
        return map(self._make, self._records)
