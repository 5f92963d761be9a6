"""Images with labels: which object is where.

This is all that the readability measures know of a data set: the demo world and COCO-style files
are made into it, and anything else can be. Which visual tokens show an object: see `patch_labels`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from inspect import isgenerator
from typing import Any, overload

import numpy as np
from PIL import Image

from llavit_lens.card import card, picture
from llavit_lens.errors import ConfigurationError, ImageError, printable
from llavit_lens.evaluation.labelled.label_report import LabelReport
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import open_image, open_oriented
from llavit_lens.images.orientation import (
    Orientation,
    check_orientation,
    labels_orientation,
    upright_mask,
)
from llavit_lens.images.regions import Mask

_MOST_WORDS = 5  # in one line


@dataclass(frozen=True, eq=False)
class LabelledObject:
    """One object in an image.

    Attributes:
        mask: bool [height, width] of the original image.
        name: what it is called; None for an object without a name of its own.
        words: every word that is true of it; the name and the attributes are added.
        attributes: words of named kinds, such as {"color": "red"}.
    """

    mask: np.ndarray
    name: str | None
    words: frozenset[str] = frozenset()
    attributes: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", np.asarray(self.mask))
        more = {*self.attributes.values(), *([self.name] if self.name is not None else [])}
        object.__setattr__(self, "words", frozenset(self.words) | more)

    def __repr__(self) -> str:
        words = sorted(self.words - {self.name})[:_MOST_WORDS]
        described = f" ({', '.join(map(printable, words))})" if words else ""
        name = "without a name" if self.name is None else printable(self.name)
        return f"LabelledObject({name}{described}, {int(self.mask.sum())} pixels)"


@dataclass(frozen=True, eq=False)
class Change:
    """The same image with one object changed, and the word that should change with it.

    Attributes:
        kind: `recolour` or `replace`, or another name for the measures of such changes.
        image: the changed image, as large as the original.
        mask: bool [height, width], pixels that show the object before and after.
        old, new: what is true at these pixels before and after.
    """

    kind: str
    image: Image.Image
    mask: np.ndarray
    old: str
    new: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "mask", np.asarray(self.mask))

    def __repr__(self) -> str:
        return f"Change({self.kind}: {printable(self.old)} -> {printable(self.new)})"


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """An image, and where its objects are.

    Attributes:
        image: upright and RGB. It may be given as `open_image` takes it, so a Pillow image as
            `Image.open` gave it is turned by its EXIF orientation.
        objects: what is in it; what no object covers is background.
        unknown: bool [height, width], pixels that are neither object nor background; or None.
        changes: counterfactuals of it.

    Args:
        orientation: the pixels that the masks refer to: "upright", those of the upright image, or
            "stored", those of the file, with which the masks are turned. Without it their size
            decides; where that says nothing they are taken as upright, with a warning.

    Raises:
        ImageError: an image that cannot be read.
        ConfigurationError: a mask that is not as large as the image.
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
        changes = tuple(replace(change, image=open_image(change.image)) for change in self.changes)
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

    def region(self, word: str) -> Mask:
        """The pixels of every object of which this word is true, such as its name.

        Raises:
            ConfigurationError: there is none.
        """
        masks = [thing.mask for thing in self.objects if word in thing.words]
        if not masks:
            known = sorted({thing.name for thing in self.objects if thing.name is not None})
            raise ConfigurationError(
                f"nothing in the image is called {printable(word)!r}; its objects with a name are: "
                f"{', '.join(known) or 'none'}"
            )
        return Mask(np.any(masks, axis=0), orientation="upright")

    def __repr__(self) -> str:
        names = [printable(thing.name or "(no name)") for thing in self.objects]
        width, height = self.image.size
        changes = f", {len(self.changes)} changes" if self.changes else ""
        return f"LabelledImage({_listed(names)}; {width} x {height} pixels{changes})"

    def _repr_html_(self) -> str:
        return card(repr(self), picture(self.image))

    def true_words(self, layout: VisualLayout) -> list[frozenset[str] | None]:
        """For each visual token the words that are true of its patch; None where nothing is known,
        as of the background.

        Raises:
            ConfigurationError: the layout is of an image of another size.
        """
        from llavit_lens.evaluation.labelled.patch_labels import true_words  # imports this module

        return true_words(layout, self)

    def _masks(self) -> list[np.ndarray]:
        masks = [thing.mask for thing in self.objects] + [change.mask for change in self.changes]
        return masks if self.unknown is None else [*masks, self.unknown]

    def _turn_masks(self, tag: int) -> None:
        objects = (replace(thing, mask=upright_mask(thing.mask, tag)) for thing in self.objects)
        changes = (replace(change, mask=upright_mask(change.mask, tag)) for change in self.changes)
        object.__setattr__(self, "objects", tuple(objects))
        object.__setattr__(self, "changes", tuple(changes))
        if self.unknown is not None:
            object.__setattr__(self, "unknown", upright_mask(self.unknown, tag))

    def _check_sizes(self) -> None:
        width, height = self.image.size
        for mask in self._masks():
            if mask.shape != (height, width) or mask.dtype != np.bool_:
                raise ConfigurationError(
                    f"a mask is {mask.dtype} {list(mask.shape)}, but the image has {height} x "
                    f"{width} pixels (height x width); masks are bool, one value for each pixel"
                )
        for change in self.changes:
            if change.image.size != self.image.size:
                raise ConfigurationError(
                    f"a changed image is {change.image.size}, the image {self.image.size} "
                    "(width, height); they have to be of one size"
                )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_WORDS} more" if len(names) > _MOST_WORDS else ""
    return ", ".join(names[:_MOST_WORDS]) + more if names else "no objects"


def readable(
    images: Iterable[LabelledImage], unreadable: dict[str, None]
) -> Iterator[LabelledImage]:
    """The images that can be read; what is wrong with the others is added to `unreadable`.

    Raises:
        ImageError: from a generator, which cannot go on after an error.
    """
    remaining = iter(images)
    while True:
        try:
            image = next(remaining)
        except StopIteration:
            return
        except ImageError as error:
            if isgenerator(remaining):
                raise
            unreadable[str(error)] = None
        else:
            yield image


class LazyImages(Sequence[LabelledImage]):
    """Labelled images that are made when they are needed, one at a time; a slice makes none.

    Attributes:
        report: what was left out of their labels; it grows while images are made. Slices share it.
    """

    def __init__(
        self,
        records: Sequence[Any],
        make: Callable[[Any], LabelledImage],
        report: LabelReport | None = None,
    ) -> None:
        self._records, self._make = records, make
        self.report = LabelReport() if report is None else report

    def __repr__(self) -> str:
        return f"LazyImages({len(self)} labelled images)"

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> LabelledImage: ...
    @overload
    def __getitem__(self, index: slice) -> LazyImages: ...
    def __getitem__(self, index: int | slice) -> LabelledImage | LazyImages:
        if isinstance(index, slice):
            return LazyImages(self._records[index], self._make, self.report)
        return self._make(self._records[index])

    def __iter__(self) -> Iterator[LabelledImage]:
        return map(self._make, self._records)
