"""What `llavit-lens readability` does: measure models, print, draw and save."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from llavit_lens.disk import read_json, shown
from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.labelled.coco import coco_images, with_color_changes
from llavit_lens.evaluation.labelled.labelled_images import LabelledImage, LazyImages
from llavit_lens.evaluation.readability.readability import readability
from llavit_lens.evaluation.readability.untrained import untrained
from llavit_lens.figures.readability import draw_readability, draw_readability_table
from llavit_lens.images.orientation import Orientation
from llavit_lens.inputs import FIGURES, TABLES, check_out, check_text, is_figure
from llavit_lens.miniature.benchmark.labelled import demo_images
from llavit_lens.output import print_file, write_files
from llavit_lens.printing import print_notes, print_remark, progress_bar
from llavit_lens.results.readability import Readability
from llavit_lens.studies.redraw import read_table
from llavit_lens.vlm.program import load

_PROBE_SCENES = 500_000  # scenes of the probe start here, far from those that are read
_MOST_REASONS = 10  # that are printed for images left out
_COLUMNS = ("model", "measure", "layer", "k", "value", "low", "high", "chance", "images")
# What is printed: measure, k, heading. The table has more.
_SHOWN = (
    ("hit", 3, "hit@3"),
    ("name", 1, "name@1"),
    ("probe", None, "probe"),
    ("localisation", None, "where (AP)"),
    ("binding_color", None, "color bound"),
    ("leak_object", 3, "leak@3"),
    ("replace_switch", None, "thing changed"),
    ("recolour_switch", None, "color changed"),
    ("non_word", None, "no word"),
)


def readability_report(
    models: Sequence[str],
    scenes: int,
    seed: int,
    coco: Path | None,
    images: Path | None,
    words: Path | None,
    probe: int,
    floor: bool,
    out: Sequence[Path],
    orientation: Orientation | None = None,
) -> None:
    """Readability of one model or several, beside their ceiling and floor.

    Args:
        models: as `load` takes them.
        scenes: how many images are read: of the miniature world, or of `coco`.
        seed: which scenes; the order of `coco`.
        coco, images: annotations in COCO's format, and the folder of their images.
        words: JSON of more true words of categories, {"person": ["man", "woman"]}.
        probe: how many other images the linear probe is trained on; 0 for no probe.
        floor: also read each architecture with untrained weights.
        out: tables and figures to write, in the formats of their suffixes.
        orientation: the pixels that annotations of `coco` refer to (see `coco_images`).

    Raises:
        LlavitLensError: a model or file that cannot be read, or arguments that make no sense.
    """
    for path in out:
        check_out(path, TABLES + FIGURES)
    read, trained, what = _images(scenes, seed, coco, images, words, probe, orientation)
    _warn_of_a_large_probe(len(trained), len(read))
    results: list[Readability] = []
    trained_models: list[Readability] = []
    for name in models:  # one model is in memory at a time
        vlm = load(name)
        learned = _watched(trained, f"training the probe on {name}")
        watched = _watched(read, f"reading {name}")
        results.append(readability(vlm, watched, name=name, probe=learned))
        trained_models.append(results[-1])
        if floor:
            vlm = untrained(vlm)
            results.append(readability(vlm, _watched(read, f"reading {name}, untrained")))
        del vlm
    what = f"{results[0].n_images} {what}"
    table = pd.concat([result.table for result in results], ignore_index=True).assign(images=what)
    write_files(
        {path: draw_readability(*results, what=what) if is_figure(path) else table for path in out}
    )
    _print_left_out(dict.fromkeys(why for result in results for why in result.unreadable))
    read.report.update(trained.report)
    for line in read.report.lines:
        print_remark(f"labels: {line}")
    for result in trained_models:
        _print_left_out_words(result)
    _print(table, what)
    for path in out:
        print_file(path)


def redraw_readability(file: Path, out: Sequence[Path]) -> None:
    """Draw the figure of a table that `readability_report` wrote.

    Args:
        file: the .csv file.
        out: figures to write.

    Raises:
        ConfigurationError: the file is no such table, or there is no figure to write.
    """
    for path in out:
        check_out(path, FIGURES)
    if not out:
        raise ConfigurationError("--table draws a figure: say where with --out FILE.png")
    table = read_table(file, _COLUMNS)
    try:
        figure = draw_readability_table(table, str(table["images"].iloc[0]))
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ConfigurationError(
            f"{shown(file)}: is not the whole table that readability wrote; measure again"
        ) from error
    write_files(dict.fromkeys(out, figure))
    for path in out:
        print_file(path)


def _warn_of_a_large_probe(trained: int, read: int) -> None:
    if trained > read:
        print_remark(
            f"The probe, which is the ceiling, reads {trained} other images for each model: "
            f"{trained / read:.0f} times those that are measured. --probe 0 leaves it out; with "
            "fewer images it is a lower ceiling."
        )


def _print_left_out(reasons: Collection[str]) -> None:
    for reason in list(reasons)[:_MOST_REASONS]:
        print_remark(f"left out: {reason}")
    if len(reasons) > _MOST_REASONS:
        more = len(reasons) - _MOST_REASONS
        print_remark(f"left out for reasons like these: {more} more images")


def _images(
    scenes: int,
    seed: int,
    coco: Path | None,
    images: Path | None,
    words: Path | None,
    probe: int,
    orientation: Orientation | None,
) -> tuple[LazyImages, LazyImages, str]:
    """Images to read, images to train the probe on, and what they are."""
    if coco is None:
        others = demo_images(probe, seed, _PROBE_SCENES, changes=False)
        return demo_images(scenes, seed), others, "scenes of the miniature world"
    assert images is not None
    more = None if words is None else _words(words)
    others = coco_images(coco, images, more, seed, changes=False, orientation=orientation)
    labelled = with_color_changes(others)
    if len(labelled) < scenes + probe:
        raise ConfigurationError(
            f"{shown(coco)}: has {len(labelled)} images with objects, not {scenes} to read and "
            f"{probe} for the probe; choose --scenes and --probe so that both fit"
        )
    return labelled[:scenes], others[scenes : scenes + probe], f"images of {shown(coco.name)}"


def _words(path: Path) -> dict[str, list[str]]:
    content = read_json(path)
    if not isinstance(content, dict) or not all(isinstance(w, list) for w in content.values()):
        raise ConfigurationError(f'{shown(path)}: write {{"category": ["word", "word"]}}')
    for text in (*content, *(word for words in content.values() for word in words)):
        check_text(str(text), f"a word in {shown(path)}")
    return content


def _watched(images: LazyImages, doing: str) -> Iterable[LabelledImage]:
    if not len(images):
        return ()
    steps = progress_bar(range(len(images)), doing)
    return map(images.__getitem__, steps)  # goes on after an image that cannot be read


def _print(table: pd.DataFrame, what: str) -> None:
    """A table for each model, a row for each state."""
    print_notes(f"{what} (± the longer arm of a 95 % interval; layer 0: projector's output)")
    for model, of_model in table.groupby("model", sort=False):
        columns = {}
        for measure, k, heading in _SHOWN:
            has_k = of_model["k"].eq(k) if k else of_model["k"].isna()
            rows = of_model[of_model["measure"].eq(measure) & has_k]
            if len(rows):
                columns[heading] = rows
        lines = Table(title=Text(str(model), "table.title"), box=SIMPLE, padding=(0, 1, 0, 0))
        for heading in ("layer", *columns):  # whole words and numbers still fit into 80 columns
            longest = max([*heading.split(), "±0.00"], key=len)
            lines.add_column(heading, min_width=len(longest))
        for layer in range(int(of_model["layer"].max()) + 1):
            cells = (_cell(rows[rows["layer"].eq(layer)].iloc[0]) for rows in columns.values())
            lines.add_row(str(layer), *cells)
        chances = (float(rows["chance"].mean()) for rows in columns.values())
        lines.add_row("chance", *("" if np.isnan(c) else f"{c:.2f}" for c in chances), style="dim")
        Console().print(lines)


def _cell(row: pd.Series) -> str:
    arm = max(row["value"] - row["low"], row["high"] - row["value"])
    return f"{row['value']:.2f} ±{arm:.2f}"


def _print_left_out_words(result: Readability) -> None:
    """Words that count for less than they seem to."""
    for words, meaning in (
        (result.left_out, "cannot be said by this model and are left out"),
        (result.by_first_piece, "are several tokens and are looked for by their first"),
    ):
        if words:
            print_notes(f"{result.name}: {len(words)} words {meaning}: {', '.join(words)}")
