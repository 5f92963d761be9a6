"""The pictures of a figure, and what is known of them: truth, a list of words, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.open import open_image
from llavit_lens.miniature.world.scenes import (
    MIXED,
    PATCH,
    Truth,
    example_names,
    example_path,
    example_truth,
    sharper_path,
)
from llavit_lens.studies.paper_figures import patch_choice
from llavit_lens.studies.paper_figures.patch_choice import Place
from llavit_lens.studies.paper_figures.specs import PATCHES, FigureSpec


@dataclass(frozen=True, eq=False)
class Subject:
    """A picture to read.

    Attributes:
        name: of the scene, or of the file without its folder.
        image: what models see.
        drawn: the same for people, perhaps sharper.
        truth: of an example scene.
        listed: words that the user calls relevant to the picture.
    """

    name: str
    image: Image.Image
    drawn: Image.Image
    truth: Truth | None
    listed: frozenset[str] | None

    def places(self, layout: VisualLayout, model: str) -> tuple[list[Place], str]:
        """The patches to show where none are named, and the rule that chose them.

        Raises:
            ConfigurationError: the model sees other patches than those with truth.
        """
        if self.truth is None:
            return patch_choice.patches_by_place(layout), patch_choice.BY_PLACE
        self._check_grid(layout, model)
        middles = [(thing.y / PATCH, thing.x / PATCH) for thing in self.truth.scene.things]
        places = patch_choice.patches_by_truth(self.truth.owner, middles, {MIXED}, PATCHES)
        return places, patch_choice.BY_TRUTH

    def relevant(
        self, places: Sequence[Place], layout: VisualLayout, model: str
    ) -> list[frozenset[str] | None]:
        """Of each patch the words that are relevant to it; None where that is not known.

        Raises:
            ConfigurationError: as `places`.
        """
        if self.truth is None:
            return [self.listed] * len(places)
        self._check_grid(layout, model)
        cells = [layout.index(*place) for place in places]
        return [self.truth.words(int(layout.row[i]), int(layout.col[i])) or None for i in cells]

    def _check_grid(self, layout: VisualLayout, model: str) -> None:
        assert self.truth is not None
        if layout.grid != (self.truth.owner.shape,):
            rows, cols = self.truth.owner.shape
            raise ConfigurationError(
                f"the truth of example scenes is that of {rows} x {cols} patches, and {model} sees "
                "others: give it a picture with --image, and relevant words with --relevant"
            )


def open_subjects(
    spec: FigureSpec, images: Sequence[Path], scenes: Sequence[str], relevant: Sequence[str]
) -> list[Subject]:
    """Scenes, then images; two example scenes if there are neither.

    Args:
        relevant: words with commas between, for all images or one text for each.

    Raises:
        LlavitLensError: a picture that cannot be read, no such scene, or lists for other pictures.
    """
    if not images and not scenes:
        # those with enough things for all patches stand first
        enough = PATCHES - 1
        shipped = example_names() or [example_path().stem]  # which says that there are none
        names = sorted(shipped, key=lambda name: len(example_truth(name).scene.things) < enough)
        scenes = [names[number % len(names)] for number in spec.scenes]
    if relevant and not images:
        raise ConfigurationError("--relevant is for pictures of --image: scenes have their truth")
    found = []
    for name in scenes:
        path = example_path(name)
        drawn = open_image(sharper_path(path))
        found.append(Subject(name, open_image(path), drawn, example_truth(name), None))
    lists = [_words(text) for text in relevant]
    for path, listed in zip(images, one_for_each(lists, images, "--relevant"), strict=True):
        image = open_image(path)
        found.append(Subject(path.name, image, image, None, listed))
    return found


def one_for_each(given: Sequence[Any], pictures: Sequence[Any], option: str) -> list[Any]:
    """One of those given for each picture: the only one for all, or each its own; None if none.

    Raises:
        ConfigurationError: as many as neither.
    """
    if len(given) < 2:
        return [given[0] if given else None] * len(pictures)
    if len(given) != len(pictures):
        raise ConfigurationError(
            f"{option} is given {len(given)} times for {len(pictures)} picture"
            f"{'s' * (len(pictures) > 1)}: give it once, or once for each"
        )
    return list(given)


def _words(text: str) -> frozenset[str]:
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise ConfigurationError(f"--relevant {text!r}: give words like 'dog,tail,belly'")
    return words
