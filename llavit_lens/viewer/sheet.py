"""A contact sheet for a browser: hits as data, and the page of one file that shows them."""

from __future__ import annotations

import math
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llavit_lens.disk import check_target, write_atomically
from llavit_lens.errors import ConfigurationError
from llavit_lens.figures.contact_sheet import check_number, draw_contact_sheet
from llavit_lens.figures.hit_images import Box, HitImage, Opener, hit_images, opener_of
from llavit_lens.figures.hit_texts import heading, hit_texts
from llavit_lens.inputs import FIGURES, PAGES
from llavit_lens.viewer.document import document
from llavit_lens.viewer.image_url import jpeg_url

if TYPE_CHECKING:
    from llavit_lens.results.hits import Hits

MOST_BYTES = 8 * 2**20
"""Of all images that a click shows; they are made smaller until they fit."""
LARGEST = 960
"""Pixels of the longer side of such an image, where there are few."""
_FULL = 24  # images of the largest size; of more each is smaller, so that all have as many pixels
_TILE = 240
"""Pixels of the longer side of an image in a tile."""


_SUFFIXES = (*FIGURES, *PAGES)

_BODY = """<main class="llavit-sheet"></main>
<dialog aria-label="The image">
<div class="bar"><button type="button" class="before">Previous</button>\
<button type="button" class="after">Next</button><span class="place" role="status"></span>\
<button type="button" class="close">Close</button></div>
<div class="stage"></div>
<p class="about"></p>
</dialog>"""


def save_sheet(
    hits: Hits,
    path: str | Path,
    *,
    most: int = 40,
    images: str | Path | Opener | None = None,
) -> None:
    """Write a contact sheet: a figure (.png, .pdf, .svg), or a page of one file (.html).

    Args:
        hits: what `WordIndex.find` returned.
        path: of the file.
        most, images: as in `draw_contact_sheet`.

    Raises:
        ConfigurationError: another suffix, `most` is no such number, or the file cannot be written.
    """
    kind = Path(path).suffix.lower()
    if kind not in _SUFFIXES:
        raise ConfigurationError(f"{path}: a contact sheet is written as {', '.join(_SUFFIXES)}")
    check_target(path)
    if kind in PAGES:
        text = sheet_html(hits, opener_of(hits, images), most)
        with write_atomically(path) as unfinished:
            unfinished.write_text(text, "utf-8")
        return
    figure = draw_contact_sheet(hits, most=most, images=images)
    with write_atomically(path) as unfinished:
        figure.savefig(unfinished)


def sheet_tiles(hits: Hits, opener: Opener, most: int) -> list[dict[str, Any]]:
    """The first `most` hits, as static/sheet.js shows them: texts, and small images as JPEG.

    Args:
        opener: see `hit_images`.
    """
    return _tiles(hits, hit_images(hits.table.head(most), opener, largest=_TILE, near=_TILE))


def _tiles(hits: Hits, images: list[HitImage]) -> list[dict[str, Any]]:
    tiles = []
    wholes: dict[int, str] = {}
    for text, image in zip(hit_texts(hits, len(images)), images, strict=True):
        tile: dict[str, Any] = {**text._asdict(), "fault": image.fault}
        if image.whole is not None:
            key = id(image.whole)
            if key not in wholes:  # many hits may be on one image
                wholes[key] = jpeg_url(image.whole, _TILE)
            tile["whole"] = _view(wholes[key], image.whole.size, image.box)
        if image.near is not None:
            tile["near"] = _view(jpeg_url(image.near, _TILE), image.near.size, image.near_box)
        tiles.append(tile)
    return tiles


def _view(url: str, size: tuple[int, int], box: Box | None) -> dict[str, Any]:
    shares = None if box is None else [round(share, 5) for share in box]
    return {"url": url, "shape": round(size[0] / size[1], 5), "box": shares}


def sheet_html(hits: Hits, opener: Opener, most: int = 40) -> str:
    """A page of one file that needs no server and no network; a click on a tile shows its image
    large. It holds an image once, however many of its patches are on it.

    Args:
        hits: what `WordIndex.find` returned.
        opener: see `hit_images`.
        most: how many hits are shown, best first; at most 200.

    Raises:
        ConfigurationError: `most` is no such number.
    """
    table = hits.table.head(check_number(most, "most"))
    side = round(LARGEST * min(1.0, math.sqrt(_FULL / max(1, table["image"].nunique()))))
    images = hit_images(table, opener, largest=side, near=_TILE)
    tiles = _tiles(hits, images)
    wholes = {id(image.whole): image.whole for image in images if image.whole is not None}
    while True:
        urls = [jpeg_url(whole, side) for whole in wholes.values()]
        if sum(map(len, urls)) <= MOST_BYTES:
            break
        side = max(1, side // 2)
    places = {key: place for place, key in enumerate(wholes)}
    for tile, image in zip(tiles, images, strict=True):
        tile["large"] = places.get(id(image.whole))
    title, about = heading(hits, len(table))
    body = f"""<header><h1>{escape(title)}</h1>
<p>{escape(about)} Click a patch to see its image large. Made with llavit-lens.</p></header>
{_BODY}"""
    return document(
        title,
        body,
        {"tiles": tiles, "large": urls},
        styles=("page.css", "sheet.css", "sheet_page.css"),
        scripts=("elements.js", "sheet.js", "sheet_page.js"),
    )
