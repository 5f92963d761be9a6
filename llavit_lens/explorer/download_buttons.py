"""The buttons that save figures, tables and the page; a file is made when its button is pressed."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import streamlit as st

from llavit_lens.errors import ImageError
from llavit_lens.explorer import component, downloads
from llavit_lens.explorer.panes import Pane
from llavit_lens.explorer.view import OWN
from llavit_lens.viewer.page import page_html

if TYPE_CHECKING:
    from llavit_lens.explorer.encoded_payload import EncodedPayload
    from llavit_lens.explorer.input_image import InputImage
    from llavit_lens.explorer.lens_cache import LensCache
    from llavit_lens.explorer.start import Start
    from llavit_lens.images.layout import Tile

_TABLE, _ZIP = ("parquet", "application/vnd.apache.parquet"), ("zip", "application/zip")


class _Button(NamedTuple):
    label: str
    make: Callable[[], str | bytes]
    file_name: str
    mime: str


def show_downloads(
    cache: LensCache,
    panes: Sequence[Pane],
    image: InputImage,
    start: Start,
    words: EncodedPayload,
    search: dict[str, Any] | None,
) -> None:
    """Figures, tables, the page, and the link.

    Args:
        cache: gives the results again.
        panes: those that show their words.
        image: what they look at.
        start: where the view starts.
        words, search: see `words_payload` and `search_payload`.
    """
    st.subheader("Take it with you", anchor=False)

    def saved_page() -> str:
        return page_html(words.payload(), start.payload(), search)

    stem = f"llavit-lens-{image.name}"
    buttons = [
        _Button("Web page (HTML)", saved_page, f"{stem}.html", "text/html"),
        *_lens_buttons(cache, panes, image, start, stem),
    ]
    component.show_copy_link(image.name == OWN)
    with st.container(horizontal=True):
        for button in buttons:
            st.download_button(
                button.label,
                data=button.make,
                file_name=button.file_name,
                mime=button.mime,
                key=f"save {button.label}",
                on_click="ignore",
            )
    st.caption(
        "The web page is one file that shows the same view, offline. `ll.Words.load` reads the "
        "Parquet files; in the CSV, words that a spreadsheet could take for formulas begin with an "
        "apostrophe. The address of this page is a link to this view."
    )


def _lens_buttons(
    cache: LensCache, panes: Sequence[Pane], image: InputImage, start: Start, stem: str
) -> list[_Button]:
    """Buttons for files that are made of results.

    Streamlit keeps the functions as long as the session, so they hold no result and no image.
    """
    keys = [(pane.title, pane.result.key) for pane in panes]
    layer, tile, reference = start.layer, _tile(panes, start.patch), weakref.ref(image)

    def made(make: Callable[[downloads.TitledResults, InputImage], bytes]) -> bytes:
        if (image := reference()) is None:
            raise ImageError("the image had to make room for others; upload it again")
        return make([(title, cache.result_again(key, image)) for title, key in keys], image)

    def figure(kind: str) -> bytes:
        return made(lambda results, image: downloads.figure(results, image, layer, kind, tile=tile))

    def words_files(lens: str) -> bytes:
        return made(lambda results, _: downloads.words_files(results, lens))

    def table() -> bytes:
        return made(lambda results, _: downloads.table_csv(results))

    at_layer = f"{stem}-{'input' if layer < 0 else f'layer-{layer}'}"
    suffix, mime = _TABLE if len(panes) == 1 else _ZIP
    similarity = f"{stem}-input-similarity.{suffix}"
    return [
        _Button("Figure (PNG)", partial(figure, "png"), f"{at_layer}.png", "image/png"),
        _Button("Figure (PDF)", partial(figure, "pdf"), f"{at_layer}.pdf", "application/pdf"),
        _Button("Words (CSV)", table, f"{stem}.csv", "text/csv"),
        _Button("Words (Parquet)", partial(words_files, "words"), f"{stem}.{suffix}", mime),
        _Button("Input similarity (Parquet)", partial(words_files, "similarity"), similarity, mime),
    ]


def _tile(panes: Sequence[Pane], patch: int | None) -> Tile | None:
    """What figures show: of an image in tiles the tiles, if the pinned patch is one of theirs."""
    layouts = [pane.result.words.layout for pane in panes]
    in_tiles = (
        patch is not None
        and layouts[0].in_detail[patch]
        and all(len(layout.grid) > 1 for layout in layouts)
    )
    return "grid" if in_tiles else None
