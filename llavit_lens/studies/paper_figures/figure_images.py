"""The images of a figure, each with its truth, a list of relevant words, or neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

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
from llavit_lens.studies.paper_figures.definitions import PATCHES, PaperFigure
from llavit_lens.studies.paper_figures.patch_choice import Cell

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FigureInput:
    """An image to read.

    Attributes:
        name: of the scene, or of the file without its folder.
        image: what models see.
        drawn: the same for people, perhaps sharper.
        truth: of an example scene.
        listed: words that the user calls relevant to the image.
    """

    name: str
    image: Image.Image
    drawn: Image.Image
    truth: Truth | None
    listed: frozenset[str] | None

    def choose_cells(self, layout: VisualLayout, model: str) -> tuple[list[Cell], str]:
        """The patches to show where none are named, and the rule that chose them.

        Raises:
            ConfigurationError: the model sees other patches than those with truth.
        """
        if self.truth is None:
            return patch_choice.patches_by_quarter(layout), patch_choice.BY_QUARTER
        self._check_grid(layout, model)
        middles = [(thing.y / PATCH, thing.x / PATCH) for thing in self.truth.scene.things]
        cells = patch_choice.patches_by_truth(self.truth.patch_labels, middles, {MIXED}, PATCHES)
        return cells, patch_choice.BY_TRUTH

    def relevant(
        self, cells: Sequence[Cell], layout: VisualLayout, model: str
    ) -> list[frozenset[str] | None]:
        """Of each patch the words that are relevant to it; None where they are unknown.

        Raises:
            ConfigurationError: as `choose_cells`.
        """
        if self.truth is None:
            return [self.listed] * len(cells)
        self._check_grid(layout, model)
        indices = [layout.index(*cell) for cell in cells]
        return [self.truth.words(int(layout.row[i]), int(layout.col[i])) or None for i in indices]

    def _check_grid(self, layout: VisualLayout, model: str) -> None:
        assert self.truth is not None
        if layout.grid != (self.truth.patch_labels.shape,):
            rows, cols = self.truth.patch_labels.shape
            raise ConfigurationError(
                f"the truth of example scenes is that of {rows} x {cols} patches, and {model} sees "
                "others: give it an image with --image, and relevant words with --relevant"
            )


def open_images(
    figure: PaperFigure, images: Sequence[Path], scenes: Sequence[str], relevant: Sequence[str]
) -> list[FigureInput]:
    """Scenes, then images; two example scenes if there are neither.

    Args:
        relevant: words separated by commas, for all images or one text for each.

    Raises:
        LlavitLensError: an image that cannot be read, no such scene, or lists for other images.
    """
    if not images and not scenes:
        # those with enough things for all patches stand first
        enough = PATCHES - 1
        shipped = example_names() or [example_path().stem]  # an error if there are none
        names = sorted(shipped, key=lambda name: len(example_truth(name).scene.things) < enough)
        scenes = [names[number % len(names)] for number in figure.scenes]
    if relevant and not images:
        raise ConfigurationError("--relevant is for the images of --image: scenes have their truth")
    inputs = []
    for name in scenes:
        path = example_path(name)
        drawn = open_image(sharper_path(path))
        inputs.append(FigureInput(name, open_image(path), drawn, example_truth(name), None))
    lists = [_words(text) for text in relevant]
    for path, listed in zip(images, one_for_each(lists, images, "--relevant"), strict=True):
        image = open_image(path)
        inputs.append(FigureInput(path.name, image, image, None, listed))
    return inputs


def one_for_each(
    values: Sequence[T | None], images: Sequence[object], option: str
) -> list[T | None]:
    """A value for each image: the only one for all, or each its own; None if there are none.

    Raises:
        ConfigurationError: there is another number of values.
    """
    if len(values) < 2:
        return [values[0] if values else None] * len(images)
    if len(values) != len(images):
        raise ConfigurationError(
            f"{option} is given {len(values)} times for {len(images)} image"
            f"{'s' * (len(images) > 1)}: give it once, or once for each"
        )
    return list(values)


def _words(text: str) -> frozenset[str]:
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if not words:
        raise ConfigurationError(f"--relevant {text!r}: give words like 'dog,tail,belly'")
    return words
