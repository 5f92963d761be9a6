"""What `analyses/attention_distance.py` does: run models over images, print, draw, save."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pandas as pd
from PIL import Image

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import open_image
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import sample_scene
from llavit_lens.output import make_folder, print_report_files, write_report
from llavit_lens.printing import print_notes, print_remark, print_table, progress_bar, with_interval
from llavit_lens.studies.attention_distance.figure import draw_attention_distance
from llavit_lens.studies.attention_distance.measure import attention_distances
from llavit_lens.studies.attention_distance.table import COLUMNS, distance_table
from llavit_lens.studies.redraw import draw_again
from llavit_lens.vlm.program import load

_Opener = Callable[[], Image.Image]
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"}


def attention_distance_report(
    models: Sequence[str], images: Sequence[Path], scenes: int, seed: int, out: Path | None
) -> None:
    """How far the visual tokens of each model look, layer by layer and head by head.

    Images are opened one by one and not kept. One that cannot be read is named and left out.

    Args:
        models: as `load` takes them; at most 3, one after the other in memory.
        images: files, or folders of them; none for scenes of the miniature world.
        scenes: how many of these.
        seed: which set of them.
        out: folder for attention_distance.csv, .png and .pdf.

    Raises:
        LlavitLensError: a model that cannot be read or has no visual attention, fewer than 2
            images, or a folder that cannot be written to.
    """
    make_folder(out)
    openers = _files(images) if images else _scenes(scenes, seed)
    if len(openers) < 2:
        raise ConfigurationError(f"{len(openers)} image: intervals need at least 2")
    tables = []
    for number, name in enumerate(models):
        vlm = load(name)
        steps = progress_bar(openers, f"reading {name}")
        distances = [
            attention_distances(vlm, image) for image in _opened(steps, report=number == 0)
        ]
        if len(distances) < 2:
            raise ConfigurationError(
                f"{len(distances)} of {len(openers)} images could be read: intervals need 2"
            )
        tables.append(distance_table(name, distances))
    table = pd.concat(tables, ignore_index=True)
    write_report("attention_distance", table, draw_attention_distance(table), out)
    _print(table)
    print_report_files("attention_distance", out)


def redraw_attention_distance(table: Path, out: Path | None) -> None:
    """Draw the figure of a table that `attention_distance_report` wrote.

    Raises:
        ConfigurationError: as `draw_again`.
    """
    draw_again("attention_distance", table, COLUMNS, draw_attention_distance, out)


def _files(images: Sequence[Path]) -> list[_Opener]:
    """Every file given, and the files with an image's suffix in every folder given, sorted."""
    paths: list[Path] = []
    for path in images:
        inside = sorted(path.iterdir()) if path.is_dir() else [path]
        paths += [one for one in inside if one == path or one.suffix.lower() in _SUFFIXES]
    return [partial(open_image, path) for path in paths]


def _scenes(count: int, seed: int) -> list[_Opener]:
    """Held-out scenes of the miniature world."""
    return [partial(_draw, held_out_seed(seed, number)) for number in range(count)]


def _draw(seed: int) -> Image.Image:
    return render(sample_scene(seed))[0]


def _opened(openers: Iterable[_Opener], report: bool) -> Iterator[Image.Image]:
    for opener in openers:
        try:
            yield opener()
        except ImageError as error:
            if report:
                print_remark(f"left out: {error}")


def _print(table: pd.DataFrame) -> None:
    """A table for each model: the mean of all heads, beside uniform attention."""
    print_notes(
        f"Attention of visual tokens, {table['n'].iloc[0]} images (± half a 95 % interval; in "
        "brackets: if it were uniform over what the mask allows)"
    )
    headings = ("layer", "patches", "heads", "widths", "% visual", "% on itself")
    for model, of_model in table.groupby("model", sort=False):
        lines = []
        for layer, rows in of_model.groupby("layer"):
            mean = {row["measure"]: row for _, row in rows[rows["head"].isna()].iterrows()}
            heads = rows[rows["head"].notna() & rows["measure"].eq("patches")]["value"]
            lines.append(
                [
                    str(layer),
                    _cell(mean["patches"]),
                    f"{heads.min():.2f} to {heads.max():.2f}",
                    f"{mean['width']['value']:.2f}",
                    _cell(mean["visual"], 1, 100),
                    _cell(mean["self"], 1, 100),
                ]
            )
        print_table(headings, lines, f"{model}: distance and shares")


def _cell(row: pd.Series, decimals: int = 2, scale: float = 1) -> str:
    uniform = f"{scale * row['uniform']:.{decimals}f}"
    return f"{with_interval(row, decimals, scale)} ({uniform})"
