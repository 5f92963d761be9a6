"""What `analyses/input_similarity.py` does: words at the input (Eq. 4) beside the logit lens."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from llavit_lens.commands.word_tables import (
    print_frequent,
    scene_of,
    traces_of_image,
    write_words,
)
from llavit_lens.errors import ConfigurationError
from llavit_lens.figures import draw_selected_patches
from llavit_lens.images.open import open_image
from llavit_lens.inputs import FIGURES, TABLES, check_out, is_figure
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.world.scenes import (
    BACKGROUND_BOTTOM,
    BACKGROUND_TOP,
    PATCH,
    example_path,
    example_truth,
)
from llavit_lens.output import print_file, write_files
from llavit_lens.shipped import example_of
from llavit_lens.typed_numbers import parse_layers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from llavit_lens.figures.selected import Patch
    from llavit_lens.results.words import Words

MOST_PATCHES = 6  # patches that are selected where none are given


def input_similarity_report(
    image: Path | None,
    model: str,
    baseline: str | None = None,
    prompt: str | None = None,
    layers: str = "-1",
    k: int = 3,
    out: Path | None = None,
    patches: Sequence[Patch] = (),
) -> None:
    """Words at the input by cosine (Eq. 4) beside the logit lens: the paper's Figures 1 and 4.

    Args:
        image, model, baseline, prompt, k, out: as `logit_lens_report`.
        layers: the layer of the logit lens; a table may have several.
        patches: (row, column) or (row, column, tile) of those to show; default: those that the last
            model is surest about at that layer, one for each word.

    Raises:
        LlavitLensError: as `logit_lens_report`.
    """
    check_out(out, FIGURES + TABLES)
    draws = out is not None and is_figure(out)
    numbers = parse_layers(layers)
    if draws and (numbers is None or len(numbers) != 1):
        raise ConfigurationError(
            f"a figure shows one layer beside the input: --layers {layers!r} is not one"
        )
    opened = open_image(example_path() if image is None else image)  # before any slow loading
    readings = [
        (name, input_similarity(trace, k), logit_lens(trace, k, numbers))
        for name, trace in traces_of_image(opened, model, baseline, prompt, k)
    ]
    if out is not None and draws:
        write_files({out: _draw(readings, patches, k, image)})
    elif out is not None:
        write_words([(name, words) for name, *both in readings for words in both], out)
    for name, before, after in readings:
        print_frequent(name, before, k)
        print_frequent(name, after, k)
    print_file(out)


def _draw(
    readings: Sequence[tuple[str, Words, Words]],
    patches: Sequence[Patch],
    k: int,
    image: Path | None,
) -> Figure:
    layout = readings[0][1].layout
    scene = scene_of(image)
    truth = None if scene is None else scene.true_words(layout)
    if not patches:
        # the patches of things are known on the grid of the demo models
        known = scene is not None and layout.grid == (example_truth(scene.name).patch_labels.shape,)
        patches = (
            _patch_of_each_thing(example_of(image)) if known else _surest_patches(readings[-1][2])
        )
    highlight = {p: truth[layout.index(*p)] or () for p in patches} if truth else None
    return draw_selected_patches(readings, patches=patches, k=k, highlight=highlight)


def _patch_of_each_thing(name: str | None) -> list[Patch]:
    """The middle patch of each thing of an example scene, and a corner of the background."""
    truth = example_truth(name)
    patches: list[Patch] = []
    for index, thing in enumerate(truth.scene.things):
        rows, cols = np.nonzero(truth.patch_labels == index)
        distance = (rows + 0.5 - thing.y / PATCH) ** 2 + (cols + 0.5 - thing.x / PATCH) ** 2
        nearest = distance.argmin()
        patches.append((int(rows[nearest]), int(cols[nearest])))
    grounds = np.argwhere(
        (truth.patch_labels == BACKGROUND_TOP) | (truth.patch_labels == BACKGROUND_BOTTOM)
    )
    patches += [(int(row), int(col)) for row, col in grounds[:1]]
    return sorted(patches)[:MOST_PATCHES]


def _surest_patches(words: Words) -> list[Patch]:
    """For each of the likeliest top words the patch where it is likeliest, in reading order."""
    layout = words.layout
    on_image = layout.on_image
    best: dict[int, int] = {}
    for i in np.argsort(-words.values[0, :, 0], kind="stable").tolist():
        if on_image[i]:
            best.setdefault(int(words.ids[0, i, 0]), i)
    tokens = sorted(list(best.values())[:MOST_PATCHES])
    cells = zip(layout.row[tokens], layout.col[tokens], layout.tile[tokens], strict=True)
    return [(int(row), int(col), int(tile)) for row, col, tile in cells]
