"""What `analyses/attention_distance.py` does: run models over pictures, print, draw, save."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from llavit_lens.errors import ConfigurationError, ImageError
from llavit_lens.images.open import open_image
from llavit_lens.miniature.world.corpus import held_out_seed
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import sample_scene
from llavit_lens.output import make_folder, print_report_place, write_report
from llavit_lens.studies.attention_distance.distances import attention_distances
from llavit_lens.studies.attention_distance.figure import draw_attention_distance
from llavit_lens.studies.attention_distance.measure import distance_table
from llavit_lens.vlm.load import load

_Opener = Callable[[], Image.Image]
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif"}


def attention_distance_report(
    models: Sequence[str], images: Sequence[Path], scenes: int, seed: int, out: Path | None
) -> None:
    """How far the visual tokens of each model look, layer by layer and head by head.

    Pictures are opened one by one and not kept. One that cannot be read is named and left out.

    Args:
        models: as `load` takes them; at most 3, one after the other in memory.
        images: pictures, or folders of them; none for scenes of the miniature world.
        scenes: how many of these.
        seed: which set of them.
        out: folder for attention_distance.csv, .png and .pdf.

    Raises:
        LlavitLensError: a model that cannot be read or has no visual attention, fewer than 2
            pictures, or a folder that cannot be written to.
    """
    make_folder(out)
    pictures = _files(images) if images else _scenes(scenes, seed)
    if len(pictures) < 2:
        raise ConfigurationError(f"{len(pictures)} picture: intervals need at least 2")
    tables = []
    for number, name in enumerate(models):
        vlm = load(name)
        steps = track(pictures, escape(f"reading {name}"), console=Console(stderr=True))
        found = [attention_distances(vlm, one) for one in _opened(steps, say=number == 0)]
        if len(found) < 2:
            raise ConfigurationError(
                f"{len(found)} of {len(pictures)} pictures could be read: intervals need 2"
            )
        tables.append(distance_table(name, found))
    table = pd.concat(tables, ignore_index=True)
    write_report("attention_distance", table, draw_attention_distance(table), out)
    _print(table)
    print_report_place("attention_distance", out)


def _files(images: Sequence[Path]) -> list[_Opener]:
    """Every file given, and those in folders given that are called pictures, sorted."""
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


def _opened(openers: Iterable[_Opener], say: bool) -> Iterator[Image.Image]:
    for opener in openers:
        try:
            yield opener()
        except ImageError as error:
            if say:
                console = Console(stderr=True, highlight=False)
                console.print(f"left out: {error}", markup=False, soft_wrap=True)  # paths are long


def _print(table: pd.DataFrame) -> None:
    """A table for each model: the mean of all heads, beside uniform attention."""
    console = Console()
    console.print(
        f"Attention of visual tokens, {table['n'].iloc[0]} pictures (± half a 95 % interval; in "
        "brackets: if it were uniform over what the mask allows)"
    )
    headings = ("patches", "heads", "widths", "% visual", "% on itself")
    for model, own in table.groupby("model", sort=False):
        shown = Table("layer", *headings, title=escape(f"{model}: distance and shares"), box=SIMPLE)
        for layer, rows in own.groupby("layer"):
            mean = {row.measure: row for row in rows[rows["head"].isna()].itertuples()}
            heads = rows[rows["head"].notna() & rows["measure"].eq("patches")]["value"]
            shown.add_row(
                str(layer),
                _cell(mean["patches"]),
                f"{heads.min():.2f} to {heads.max():.2f}",
                f"{mean['width'].value:.2f}",
                _cell(mean["visual"], 100, 1),
                _cell(mean["self"], 100, 1),
            )
        console.print(shown)


def _cell(row: Any, scale: float = 1.0, decimals: int = 2) -> str:
    numbers = row.value, (row.high - row.low) / 2, row.uniform
    value, half, uniform = (f"{scale * number:.{decimals}f}" for number in numbers)
    return f"{value} ±{half} ({uniform})"
