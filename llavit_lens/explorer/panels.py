"""What stands around the view: answers, the pinned patch through the layers, and downloads."""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from llavit_lens.errors import ImageError, LlavitLensError
from llavit_lens.explorer import downloads
from llavit_lens.explorer.choices import Offer
from llavit_lens.explorer.places import place_of
from llavit_lens.explorer.plain import plain
from llavit_lens.explorer.sides import Side
from llavit_lens.explorer.trajectories import trajectory_figure
from llavit_lens.lens.difference import matched_layer, partners

if TYPE_CHECKING:
    from llavit_lens.explorer.bench import Bench
    from llavit_lens.explorer.opening import Start
    from llavit_lens.explorer.pictures import Picture
    from llavit_lens.images.layout import Tile
    from llavit_lens.lens.search import Found


_ZIP = ("zip", "application/zip")


def show_answers(
    bench: Bench, sides: Sequence[Side], picture: Picture, prompt: str, offer: Offer
) -> None:
    """What each side answers, two in a row; a large model on a CPU is only asked when the user says
    so."""
    asked = prompt or "What is in the picture?"
    for row in range(0, len(sides), 2):
        pair = sides[row : row + 2]
        for column, side in zip(st.columns(len(pair)), pair, strict=True):
            with column, st.container(border=True):
                st.caption(f"{plain(side.title)}, asked “{plain(asked)}”")
                _answer(bench, side, picture, prompt, offer)


def _answer(bench: Bench, side: Side, picture: Picture, prompt: str, offer: Offer) -> None:
    asked = side.source, picture, prompt, side.ablations
    quick = side.source.name.startswith("demo:") or not side.reading.device.startswith("cpu")
    known = bench.known_answer(*asked) is not None
    if quick or known or st.button("Ask", key=f"ask {side.title}"):
        try:
            with st.spinner("Answering", show_time=True):
                st.text(bench.answer(*asked) or "(nothing)")
        except LlavitLensError as error:
            st.error(plain(offer.without_paths(str(error))))


def show_trajectories(sides: Sequence[Side], start: Start, found: Sequence[Found | None]) -> None:
    """The pinned patch's words through the layers, for each side."""
    patch, layer = start.patch, start.layer
    if patch is None:
        st.subheader("A patch through the layers", anchor=False)
        st.caption("Click a patch: its words are followed here through the layers.")
        return
    lead = sides[0].reading
    layout = lead.words.layout
    st.subheader(f"The patch at {place_of(layout, patch)}, through the layers", anchor=False)
    st.caption("Every word that comes first at some layer, and the word that you search.")
    columns = st.columns(len(sides))
    for number, (column, side, each) in enumerate(zip(columns, sides, found, strict=True)):
        reading = side.reading
        own = patch if reading is lead else int(partners(layout, reading.words.layout)[patch])
        depth = matched_layer(max(layer, 0), lead.depth, reading.depth)
        figure = trajectory_figure(reading, own, depth if layer >= 0 else None, each)
        with column:
            if len(sides) > 1:
                st.markdown(f"**{plain(side.title)}**")
            st.plotly_chart(figure, key=f"trajectory {number}", config={"displayModeBar": False})


def show_downloads(
    bench: Bench,
    sides: Sequence[Side],
    picture: Picture,
    start: Start,
    still: bytes,
    searched: dict[str, Any] | None,
) -> None:
    """Figures, tables, the page, the link; each is made when it is asked for.

    Of a picture in tiles the figure shows the tiles if the pinned patch is one of theirs.
    """
    st.subheader("Take it with you", anchor=False)
    keys = [(side.title, side.reading.key) for side in sides]

    name, there = picture.name, weakref.ref(picture)

    def made(make: Callable[[downloads.Panes, Picture], bytes]) -> bytes:
        # Streamlit keeps what is called here as long as the session: no reading, no image
        if (shown := there()) is None:
            raise ImageError("the image had to make room for others; upload it again")
        return make([(title, bench.again(key, shown)) for title, key in keys], shown)

    layer, patch = start.layer, start.patch
    layer_name = "input" if layer < 0 else f"layer-{layer}"
    stem = f"llavit-lens-{name}"

    def saved_page() -> str:
        body = json.loads(still.split(b"\n")[1])
        return downloads.page(body, start.payload(), searched)

    layouts = [side.reading.words.layout for side in sides]
    in_tiles = (
        patch is not None
        and layouts[0].tile[patch] > 0
        and all(len(layout.grid) > 1 for layout in layouts)
    )
    tile: Tile = "grid" if in_tiles else 0

    def figure(kind: str) -> bytes:
        return made(lambda panes, shown: downloads.figure(panes, shown, layer, kind, tile=tile))

    def words_files(lens: str) -> bytes:
        return made(lambda panes, _: downloads.words_files(panes, lens))

    suffix, mime = ("parquet", "application/vnd.apache.parquet") if len(sides) == 1 else _ZIP
    offers: list[tuple[str, Callable[[], str | bytes], str, str]] = [
        ("Web page (HTML)", saved_page, f"{stem}.html", "text/html"),
        ("Figure (PNG)", partial(figure, "png"), f"{stem}-{layer_name}.png", "image/png"),
        (
            "Figure (PDF)",
            partial(figure, "pdf"),
            f"{stem}-{layer_name}.pdf",
            "application/pdf",
        ),
        (
            "Words (CSV)",
            lambda: made(lambda panes, _: downloads.table_csv(panes)),
            f"{stem}.csv",
            "text/csv",
        ),
        ("Words (Parquet)", partial(words_files, "words"), f"{stem}.{suffix}", mime),
        (
            "Input similarity (Parquet)",
            partial(words_files, "similarity"),
            f"{stem}-input-similarity.{suffix}",
            mime,
        ),
    ]
    with st.container(horizontal=True):
        for label, data, file, kind in offers:
            st.download_button(
                label, data=data, file_name=file, mime=kind, key=f"save {label}", on_click="ignore"
            )
    st.caption(
        "The web page is one file that shows the same view, offline. `ll.Words.load` reads the "
        "Parquet files; in the CSV, words that a spreadsheet could take for formulas begin with an "
        "apostrophe. The address of this page is a link to this view: copy it from the browser."
    )
