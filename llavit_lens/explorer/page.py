"""The explorer's page, run from top to bottom by Streamlit whenever something changed."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import streamlit as st

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import component, panels, pictures, sidebar, state
from llavit_lens.explorer.ablation import Ablation
from llavit_lens.explorer.bench import Bench, Reading, Source
from llavit_lens.explorer.choices import ABLATIONS, MODES
from llavit_lens.explorer.compare import difference
from llavit_lens.explorer.downloads import truth_of
from llavit_lens.explorer.opening import opening_layer, opening_patch
from llavit_lens.explorer.payload import encoded, still_payload
from llavit_lens.explorer.plain import plain
from llavit_lens.explorer.search import Found, moving_payload, search
from llavit_lens.explorer.view import OWN, View
from llavit_lens.vlm.load import demo_names
from llavit_lens.vlm.vlm import DEFAULT_PROMPT

_STYLE = """<style>
.stMainBlockContainer { padding: 2.6rem 2rem 3rem; max-width: 92rem; }
@media (max-width: 640px) { .stMainBlockContainer { padding: 2.6rem 0.8rem 3rem; } }
</style>"""


def main(arguments: Sequence[str]) -> None:
    """Show the page.

    Args:
        arguments: what follows `--` on Streamlit's command line.
    """
    options = _options(arguments)
    offered = [*options.model, *demo_names()]
    st.set_page_config(page_title="llavit-lens explorer", page_icon="🔎", layout="wide")
    st.html(_STYLE)
    state.begin(options.public, offered)
    sidebar.show_sidebar(options.public, offered)
    st.title("What does the model read in the picture?", anchor=False)
    st.caption(
        "Every patch is one visual token. Its word is the one that the model would say if it "
        "stopped at this layer (logit lens). Move the slider; click a patch."
    )
    for note in st.session_state[state.NOTES]:
        st.warning(plain(note))
    st.session_state[state.NOTES] = []
    _controls()
    with _one_message():
        _explore(state.current(), options.public, offered)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="streamlit run apps/explorer.py --")
    parser.add_argument(
        "--public", action="store_true", help="offer the models below only, and no local folders"
    )
    parser.add_argument(
        "--model", action="append", default=[], help="offer this model too; may be repeated"
    )
    return parser.parse_args(arguments)


@contextmanager
def _one_message() -> Iterator[None]:
    """An error that is meant for the user becomes one message."""
    try:
        yield
    except LlavitLensError as error:
        st.error(plain(str(error)))


def _controls() -> None:
    left, middle, right = st.columns([5, 4, 6], vertical_alignment="bottom")
    left.segmented_control(
        "Mode", list(MODES), key="mode", format_func=MODES.__getitem__, required=True
    )
    middle.text_input("Find a word", key="word", max_chars=64, placeholder="for example: sky")
    right.text_input("Ask", key="prompt", max_chars=500, placeholder=DEFAULT_PROMPT)


def _explore(view: View, public: bool, offered: list[str]) -> None:
    picture = _picture(view)
    sides = _sides(view, picture, public, offered)
    readings = [reading for *_, reading in sides]
    lead = readings[0]
    layer = opening_layer(lead) if view.layer is None else min(view.layer, lead.depth)
    patch = view.patch
    if patch is None or patch >= len(lead.words.layout):
        patch = opening_patch(lead, max(layer, 0))
    found = _search(view.word, readings)
    still = _still(repr([(s[0], s[3].key) for s in sides]), view.k, sides, picture)
    moving: dict[str, Any] = {
        "start": {"slot": layer + 1, "pin": patch, "color": view.color},
        "search": moving_payload(
            view.word,
            [(s[0], s[3], f) for s, f in zip(sides, found, strict=True) if f is not None],
        ),
    }
    component.show_view(still, moving, state.take_choice)
    query = view.to_query()
    if st.query_params.to_dict() != query:
        st.query_params.from_dict(query)
    panels.show_answers(_bench(), sides, picture, view.prompt)
    panels.show_trajectories(sides, patch, layer, found)
    panels.show_downloads(sides, picture, layer, still, moving)


@st.cache_resource(show_spinner=False)
def _bench() -> Bench:
    return Bench()


def _picture(view: View) -> pictures.Picture:
    if view.picture == OWN and state.OWN_BYTES in st.session_state:
        return _own(st.session_state[state.OWN_BYTES])
    return pictures.example(view.picture if view.picture != OWN else "")


@st.cache_resource(max_entries=4, show_spinner=False)
def _own(data: bytes) -> pictures.Picture:
    return pictures.uploaded(data)


def _sides(
    view: View, picture: pictures.Picture, public: bool, offered: list[str]
) -> list[panels.Side]:
    """One side, or the two that are compared."""
    wanted: list[tuple[str, str, Ablation | None]] = [(view.model, view.model, None)]
    if view.mode == "compare":
        # the baseline stands left, as in the paper
        wanted.insert(0, (view.other, view.other, None))
        if view.other == view.model:
            raise ConfigurationError("both models are the same: choose another second model")
    if view.mode == "ablate":
        ablation = _ablation(view, _read(view.model, None, view, picture, public, offered)[1])
        if ablation is not None:
            depth = _read(view.model, None, view, picture, public, offered)[1].depth
            wanted = [
                ("As it is", view.model, None),
                (ablation.title(depth), view.model, ablation),
            ]
    sides = []
    for title, name, ablation in wanted:
        source, reading = _read(name, ablation, view, picture, public, offered)
        sides.append((title, source, ablation, reading))
    return sides


def _read(
    name: str,
    ablation: Ablation | None,
    view: View,
    picture: pictures.Picture,
    public: bool,
    offered: list[str],
) -> tuple[Source, Reading]:
    if public and not state.known(name, offered):
        raise ConfigurationError(f"{name}: not among the models of this page; choose one of them")
    source = Source(name, st.session_state["device"], st.session_state["dtype"])
    bench = _bench()
    if bench.has_reading(source, picture, view.prompt, ablation):
        return source, bench.read(source, picture, view.prompt, ablation)
    place = st.empty()
    with place.status(f"Reading with {plain(name)}") as status:

        def progress(step: str) -> None:
            status.update(label=plain(step))

        reading = bench.read(source, picture, view.prompt, ablation, progress)
    place.empty()
    return source, reading


def _ablation(view: View, reading: Reading) -> Ablation | None:
    """The choice of an intervention and its layers; None for none."""
    left, right = st.columns([1, 1], vertical_alignment="bottom")
    left.selectbox("Take away", list(ABLATIONS), key="ablation", format_func=ABLATIONS.__getitem__)
    depth = reading.depth
    first = min(view.first, depth)
    last = min(view.last or depth, depth)
    if depth > 1:
        first, last = right.slider(
            "in layers", 1, depth, (min(first, last), last), key=f"layers of {depth}",
            on_change=_take_layers, args=(depth,),
        )  # fmt: skip
    if st.session_state["ablation"] == "none":
        return None
    return Ablation(st.session_state["ablation"], first, 0 if last == depth else last)


def _take_layers(depth: int) -> None:
    first, last = st.session_state[f"layers of {depth}"]
    st.session_state["first"], st.session_state["last"] = first, 0 if last == depth else last


def _search(word: str, readings: list[Reading]) -> list[Found | None]:
    if not word.strip():
        return [None for _ in readings]
    try:
        return [_found(repr(reading.key), word, reading) for reading in readings]
    except LlavitLensError as error:
        st.warning(plain(str(error)))
        return [None for _ in readings]


@st.cache_resource(max_entries=32, show_spinner=False)
def _found(key: str, word: str, _reading: Reading) -> Found:
    return search(_reading, word)


@st.cache_resource(max_entries=8, show_spinner=False)
def _still(key: str, k: int, _sides: list[panels.Side], _picture: pictures.Picture) -> bytes:
    panes = [(title, reading) for title, _, _, reading in _sides]
    apart = difference(panes[0][1], panes[1][1]) if len(panes) > 1 else None
    return encoded(still_payload(panes, _picture.shown, k, truth_of(_picture, panes), apart))
