"""What the command line and `analyses/` do: read words off a picture, print, draw or save them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llavit_lens.errors import ConfigurationError
from llavit_lens.figures import draw_selected_patches, draw_word_panels
from llavit_lens.figures.legible import printable
from llavit_lens.images.open import open_image
from llavit_lens.inputs import DEFAULT_PROMPT, PICTURES, TABLES, check_out
from llavit_lens.lens.input_similarity import input_similarity
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.world.scenes import (
    BACKGROUND_BOTTOM,
    BACKGROUND_TOP,
    PATCH,
    example_path,
    example_truth,
)
from llavit_lens.output import full_path, write_files
from llavit_lens.vlm.load import load, vocabulary_size

if TYPE_CHECKING:
    from llavit_lens.figures.selected import Patch
    from llavit_lens.images.layout import Tile, VisualLayout
    from llavit_lens.results.words import Words
    from llavit_lens.vlm.trace import Trace

MOST_PANELS = 6  # layers that one picture shows side by side
MOST_PATCHES = 6  # patches that are selected where none are given


def logit_lens_report(
    image: Path | None,
    model: str,
    baseline: str | None = None,
    prompt: str | None = None,
    layers: str | None = None,
    k: int = 5,
    out: Path | None = None,
    tile: str | None = None,
) -> None:
    """Words of one picture by the logit lens, for one model or two side by side.

    Args:
        image: the picture; default: the first example scene, whose true words are then marked.
        model, baseline: as `load` takes them.
        prompt: what the models are asked.
        layers: as `parse_layers`; default: input, middle and output for a picture, all for a table.
        k: how many words of each patch a table holds, and how many are printed for each layer.
        out: where to write, in the format of its suffix; default: only print.
        tile: as `parse_tile`, of a picture that the models see in several; default: all of it.

    Raises:
        LlavitLensError: an argument that makes no sense, or a model or picture that cannot be read.
    """
    check_out(out, PICTURES + TABLES)
    chosen = None if layers is None else parse_layers(layers)
    drawn = out is not None and out.suffix.lower() in PICTURES
    if tile is not None and not drawn:
        raise ConfigurationError(
            "--tile chooses what a picture shows: write one with --out words.png (a table with "
            "--out words.csv has all tiles)"
        )
    shown = 0 if tile is None else parse_tile(tile)
    found = []
    for name, trace in _traces(image, model, baseline, prompt, k):
        wanted = [0, trace.n_layers // 2, trace.n_layers] if layers is None and drawn else chosen
        if drawn and (count := trace.n_layers + 1 if wanted is None else len(wanted)) > MOST_PANELS:
            raise ConfigurationError(
                f"{count} layers do not fit into one picture: choose at most {MOST_PANELS} with "
                "--layers, or write a table with --out words.csv"
            )
        found.append((name, logit_lens(trace, k, wanted)))
    if out is not None and drawn:
        rows = [(name, [(words, layer) for layer in words.layers]) for name, words in found]
        truth = _example_words(found[0][1].layout) if image is None else None
        write_files({out: draw_word_panels(rows, truth=truth, tile=shown)})
    elif out is not None:
        _write_table(found, out)
    for name, words in found:
        _print_frequent(name, words, k)
    _print_place(out)


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
    check_out(out, PICTURES + TABLES)
    drawn = out is not None and out.suffix.lower() in PICTURES
    chosen = parse_layers(layers)
    if drawn and (chosen is None or len(chosen) != 1):
        raise ConfigurationError(
            f"a picture shows one layer beside the input: --layers {layers!r} is not one"
        )
    found = [
        (name, input_similarity(trace, k), logit_lens(trace, k, chosen))
        for name, trace in _traces(image, model, baseline, prompt, k)
    ]
    if out is not None and drawn:
        layout = found[0][1].layout
        truth = _example_words(layout) if image is None else None
        by_rule = _patch_of_each_thing if truth else lambda: _surest_patches(found[-1][2])
        shown = list(patches) or by_rule()
        highlight = {p: truth[layout.index(*p)] or () for p in shown} if truth else None
        figure = draw_selected_patches(found, patches=shown, k=k, highlight=highlight)
        write_files({out: figure})
    elif out is not None:
        _write_table([(name, words) for name, *both in found for words in both], out)
    for name, before, after in found:
        _print_frequent(name, before, k)
        _print_frequent(name, after, k)
    _print_place(out)


def parse_tile(text: str) -> Tile:
    """The number of a tile, or 'grid': all but the base tile, which is 0 and the whole picture.

    Raises:
        ConfigurationError: the text is neither.
    """
    if text == "grid":
        return "grid"
    if not text.isdecimal():
        raise ConfigurationError(f"--tile {text!r} is neither a number nor 'grid'")
    return int(text)


def parse_layers(text: str) -> list[int] | None:
    """Layer numbers from text like '0,3,-1'; None, which stands for all layers, from 'all'.

    Raises:
        ConfigurationError: the text is neither.
    """
    if text.strip() == "all":
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise ConfigurationError(
            f"--layers {text!r} is neither 'all' nor numbers like '0,3,-1'"
        ) from error


def parse_patch(text: str) -> Patch:
    """(row, column) from text like '3,5'; (row, column, tile) from '3,5,2'.

    Raises:
        ConfigurationError: the text is not two or three whole numbers with commas between.
    """
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    match numbers:
        case [row, col]:
            return row, col
        case [row, col, tile]:
            return row, col, tile
    raise ConfigurationError(
        f"--patch {text!r} is not a row and a column like '3,5', nor these and a tile like '3,5,2'"
    )


def _traces(
    image: Path | None, model: str, baseline: str | None, prompt: str | None, k: int
) -> Iterator[tuple[str, Trace]]:
    """Each model's trace, the baseline's first; one model is in memory at a time."""
    picture = open_image(example_path() if image is None else image)  # before any slow loading
    names = [model] if baseline is None else [baseline, model]
    for name in names:
        if (words := vocabulary_size(name)) is not None and k > words:
            raise ConfigurationError(f"-k {k}: the vocabulary of {name} has {words} words")
    for name in names:
        yield name, load(name).trace(picture, prompt or DEFAULT_PROMPT)


def _example_words(layout: VisualLayout) -> list[frozenset[str] | None] | None:
    """The true words of the first example scene's patches; None for a model with another grid."""
    truth = example_truth()
    if layout.grid != (truth.owner.shape,):
        return None
    return [
        truth.words(int(row), int(col)) or None
        for row, col in zip(layout.row, layout.col, strict=True)
    ]


def _patch_of_each_thing() -> list[tuple[int, int]]:
    """The middle patch of each thing of the first example scene, and a corner of the background."""
    truth = example_truth()
    shown = []
    for index, thing in enumerate(truth.scene.things):
        rows, cols = np.nonzero(truth.owner == index)
        distance = (rows + 0.5 - thing.y / PATCH) ** 2 + (cols + 0.5 - thing.x / PATCH) ** 2
        nearest = distance.argmin()
        shown.append((int(rows[nearest]), int(cols[nearest])))
    grounds = np.argwhere((truth.owner == BACKGROUND_TOP) | (truth.owner == BACKGROUND_BOTTOM))
    shown += [(int(row), int(col)) for row, col in grounds[:1]]
    return sorted(shown)[:MOST_PATCHES]


def _surest_patches(words: Words) -> list[Patch]:
    """For each of the likeliest top words the patch where it is likeliest, in reading order."""
    layout = words.layout
    on_image = layout.on_image
    best: dict[int, int] = {}
    for i in np.argsort(-words.values[0, :, 0], kind="stable").tolist():
        if on_image[i]:
            best.setdefault(int(words.ids[0, i, 0]), i)
    chosen = sorted(list(best.values())[:MOST_PATCHES])
    cells = zip(layout.row[chosen], layout.col[chosen], layout.tile[chosen], strict=True)
    return [(int(row), int(col), int(tile)) for row, col, tile in cells]


def _print_frequent(name: str, words: Words, k: int) -> None:
    """Print, for each layer, the `k` words that most often come first, and on how many patches."""
    cosine = words.kind == "input_similarity"
    lens = "input similarity" if cosine else "logit lens"
    shown = words.layout.on_image
    table = Table()
    table.add_column("layer", justify="right")
    table.add_column("most frequent (patches)")
    table.add_column("mean cosine" if cosine else "mean probability", justify="right")
    for layer, ids, values in zip(
        words.layers, words.ids[:, shown, 0], words.values[:, shown, 0], strict=True
    ):
        frequent = Counter(ids.tolist()).most_common(k)
        # Text, not str: a token such as [red] is no markup
        cell = Text("  ".join(f"{printable(words.strings[i])} ({count})" for i, count in frequent))
        table.add_row(str(layer), cell, f"{(values if cosine else np.exp(values)).mean():.3f}")
    console = Console()
    console.print(Text(f"{name}, {lens}: top words of {shown.sum()} patches", style="bold"))
    console.print(table)


def _print_place(out: Path | None) -> None:
    if out is not None:
        what = "picture" if out.suffix.lower() in PICTURES else "table"
        print(f"The {what} is {full_path(out)}")


def _write_table(found: Sequence[tuple[str, Words]], out: Path) -> None:
    """One row for each model, lens, layer, patch and rank."""
    tables = []
    for name, words in found:
        table = words.to_pandas()
        table.insert(0, "model", name)
        table.insert(1, "lens", words.kind)
        tables.append(table)
    write_files({out: pd.concat(tables, ignore_index=True)})
