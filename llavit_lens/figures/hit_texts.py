"""What stands beside a patch that was found, and above all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from llavit_lens.figures.labels import percent
from llavit_lens.token_text import printable

if TYPE_CHECKING:
    from llavit_lens.results.hits import Hits

_UNITS = {
    "image": ("image", "images"),
    "patch": ("patch", "patches"),
    "layer": ("patch at one layer", "patches at one layer each"),
}
_LENSES = {"logit_lens": "logit lens", "input_similarity": "input similarity (cosine)"}
_ORDINALS = {1: "2nd", 2: "3rd"}


class HitText(NamedTuple):
    """The words beside one hit."""

    word: str
    """The token that was read, safe to look at."""
    value: str
    """Its probability, or its cosine."""
    where: str
    """Layer, row and column; which word of the patch it is, unless it is the first."""
    name: str
    """Of the image."""


def hit_texts(hits: Hits, most: int) -> list[HitText]:
    """The texts of the first `most` hits."""
    return [_text(row, hits.value) for row in hits.table.head(most).to_dict("records")]


def _text(row: dict, value: str) -> HitText:
    number = float(row[value])
    where = f"layer {row['layer']}, row {row['row']}, column {row['col']}"
    if row["tile"]:
        where += f", tile {row['tile']}"
    if rank := int(row["rank"]):
        where += f", {_ORDINALS.get(rank, f'{rank + 1}th')} word"
    return HitText(
        printable(str(row["token"])),
        f"{number:.3f}" if value == "cosine" else percent(number),
        where,
        name_of(row),
    )


def name_of(row: dict) -> str:
    """The image's name in its corpus, or its number where it has none."""
    source = row["source"]
    return source if isinstance(source, str) and source else f"image {row['image']}"


def heading(hits: Hits, shown: int) -> tuple[str, str]:
    """A title, and a sentence on what was searched, of a sheet that shows so many hits."""
    title = f"Where “{hits.word}” is read"
    images = f"{hits.n_images:,} image{'' if hits.n_images == 1 else 's'}"
    if hits.n_images < hits.n_listed:
        images += f" (of {hits.n_listed:,} in the list)"
    one, several = _UNITS[hits.per]
    if not hits.total:
        found = f"Nowhere in {images}"
    elif hits.per == "image":
        found = f"In {hits.total:,} of {images}"
    elif hits.total == 1:
        found = f"In one {one} of {images}"
    else:
        found = f"In {hits.total:,} {several} of {images}"
    if shown < hits.total:
        found += f": the {shown:,} best" if shown > 1 else ": the best one"
    about = f"{found}. Model: {hits.model}. Lens: {_LENSES[hits.lens]}."
    return title, f"{about} {hits.note}" if hits.note else about
