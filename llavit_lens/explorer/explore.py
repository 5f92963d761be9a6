"""From a view to what the page shows of it: models read, words are found, panels are filled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import panels, pictures, state
from llavit_lens.explorer.ablation import Ablation
from llavit_lens.explorer.bench import Bench, Reading, Source, stamped
from llavit_lens.explorer.choices import ABLATIONS, model_title
from llavit_lens.explorer.compare import difference
from llavit_lens.explorer.downloads import truth_of
from llavit_lens.explorer.first_view import FirstView, first_view
from llavit_lens.explorer.opening import Start, opening_layer, opening_patch, start_of
from llavit_lens.explorer.payload import encoded, still_payload
from llavit_lens.explorer.plain import plain
from llavit_lens.explorer.search import Found, moving_payload, search
from llavit_lens.explorer.view import OWN, View

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


UNCHANGED = 1e-3
"""A smaller difference (see `compare`) is rounding: another kernel of attention."""


def explore(
    view: View,
    first: FirstView | None,
    public: bool,
    offered: list[str],
    above: DeltaGenerator,
    answer_place: DeltaGenerator,
    view_place: DeltaGenerator,
) -> None:
    """Fill the page.

    Args:
        view: what is asked for.
        first: the first view, if that is what the page shows already.
        public, offered: see `page.main`.
        above, answer_place, view_place: where more controls, the answers and the view stand.

    Raises:
        LlavitLensError: a model, picture or setting that does not work.
    """
    picture = _picture(view)
    with above:
        sides = _sides(view, picture, public, offered)
    readings = [reading for *_, reading in sides]
    apart = _apart_of(sides)
    start = _start(view, readings, apart)
    if start.fault and not st.session_state[state.PENDING]:  # it may be right for that model
        above.warning(plain(start.fault))
        state.correct(start)
    view = state.current()  # with what was corrected
    with above:
        found = _search(view.word, readings)
    searched = moving_payload(
        view.word, [(s[0], s[3], f) for s, f in zip(sides, found, strict=True) if f is not None]
    )
    still = _still_of(view, sides, picture, apart)
    if first is None:
        with view_place:
            state.show_view(still, start, searched)
    if not public:
        state.remember_loaded(view)
    state.tell_link(view)
    if view.mode == "ablate" and apart is not None and apart.max() < UNCHANGED:
        above.caption(f"No word on any patch changes: {_why_unchanged(view.ablation)}.")
    with answer_place.container():
        panels.show_answers(_bench(), sides, picture, view.prompt)
    panels.show_trajectories(sides, start, found)
    panels.show_downloads(_bench(), sides, picture, start, still, searched)


def _why_unchanged(ablation: str) -> str:
    if ablation in ("text->visual", "last->visual"):
        return "this is about what others read off patches"
    return "this model already does that"


def _start(view: View, readings: list[Reading], apart: np.ndarray | None) -> Start:
    """Where the view starts; what was shown before the model was there still holds then."""
    if (stored := _stored(view)) is not None:
        return stored.start(view)
    lead = readings[0]
    return start_of(
        view,
        lead.depth,
        len(lead.words.layout),
        # of two models the one on the right is what one looks for
        opening_layer(readings[-1]),
        lambda layer: opening_patch(
            lead, max(layer, 0), None if apart is None else apart[layer + 1]
        ),
    )


def _stored(view: View) -> FirstView | None:
    """The first view, if that is what is shown, with a searched word or without."""
    return first_view(replace(view, word="")) if state.on_its_own_device() else None


@st.cache_resource(show_spinner=False)
def _bench() -> Bench:
    return Bench()


def _picture(view: View) -> pictures.Picture:
    if view.picture == OWN and state.OWN_BYTES in st.session_state:
        return _own(st.session_state[state.OWN_BYTES])
    return pictures.example("" if view.picture == OWN else view.picture)


@st.cache_resource(max_entries=2, show_spinner=False)
def _own(data: bytes) -> pictures.Picture:
    return pictures.uploaded(data)


def _sides(
    view: View, picture: pictures.Picture, public: bool, offered: list[str]
) -> list[panels.Side]:
    """One side, or the two that are compared: the baseline left, as in the paper."""

    def side(title: str, name: str, ablation: Ablation | None = None) -> panels.Side:
        if public and name not in offered:
            raise ConfigurationError(f"{name}: not among the models of this page; choose one")
        source, reading = _read(name, model_title(name, public), ablation, view.prompt, picture)
        return title, source, ablation, reading

    if view.mode == "compare":
        if view.other == view.model:
            raise ConfigurationError("both models are the same: choose another second model")
        return [side(model_title(name, public), name) for name in (view.other, view.model)]
    whole = side(model_title(view.model, public), view.model)
    if view.mode == "look":
        return [whole]
    ablation = _choose_ablation(view, whole[3].depth)
    title = ablation.title(whole[3].depth)
    return [("As it is", *whole[1:]), side(title, view.model, ablation)]


def _read(
    name: str, title: str, ablation: Ablation | None, prompt: str, picture: pictures.Picture
) -> tuple[Source, Reading]:
    source = stamped(Source(name, st.session_state["device"], st.session_state["dtype"]))
    bench = _bench()
    if (known := bench.known_reading(source, picture, prompt, ablation)) is not None:
        return source, known
    place = st.empty()
    with place.status(f"Reading with {plain(title)}") as status:
        reading = bench.read(
            source, picture, prompt, ablation, lambda step: status.update(label=plain(step))
        )
    place.empty()
    return source, reading


def _choose_ablation(view: View, depth: int) -> Ablation:
    """What the user changes, and in which layers."""
    left, right = st.columns([1, 1], vertical_alignment="bottom")
    left.selectbox("Change", list(ABLATIONS), key="ablation", format_func=ABLATIONS.__getitem__)
    last = min(view.last or depth, depth)
    first = min(view.first, last)
    if view.first > last or view.last > depth:
        st.warning(
            f"Layers {view.first} to {view.last or depth} are not all there: the model has layers "
            f"1 to {depth}, and here they are {first} to {last}."
        )
        st.session_state["first"], st.session_state["last"] = first, 0 if last == depth else last
    if depth > 1:
        key = f"layers of {depth}"
        st.session_state[key] = (first, last)
        right.slider("in layers", 1, depth, key=key, on_change=state.take_layers, args=(key, depth))
    return Ablation(view.ablation, first, 0 if last == depth else last)


def _search(word: str, readings: list[Reading]) -> list[Found | None]:
    if word.strip():
        try:
            return [_found(repr(reading.key), word, reading) for reading in readings]
        except LlavitLensError as error:
            st.warning(plain(str(error)))
    return [None for _ in readings]


@st.cache_resource(max_entries=32, show_spinner=False)
def _found(key: str, word: str, _reading: Reading) -> Found:
    return search(_reading, word)


def _apart_of(sides: list[panels.Side]) -> np.ndarray | None:
    """Where two sides differ; None for one side."""
    if len(sides) == 1:
        return None
    left, right = (side[3] for side in sides)
    return _apart(repr((left.key, right.key)), left, right)


@st.cache_resource(max_entries=8, show_spinner=False)
def _apart(key: str, _left: Reading, _right: Reading) -> np.ndarray:
    return difference(_left, _right)


def _still_of(
    view: View, sides: list[panels.Side], picture: pictures.Picture, apart: np.ndarray | None
) -> bytes:
    # a search leaves the picture and its words as they are: the view in the browser may stay
    if (stored := _stored(view)) is not None:
        return stored.still
    key = repr([(side[0], side[3].key) for side in sides])
    return _still(key, view.k, sides, picture, apart)


@st.cache_resource(max_entries=8, show_spinner=False)
def _still(
    key: str,
    k: int,
    _sides: list[panels.Side],
    _picture: pictures.Picture,
    _apart: np.ndarray | None,
) -> bytes:
    panes: list[tuple[str, Any]] = [(title, reading) for title, _, _, reading in _sides]
    return encoded(still_payload(panes, _picture.shown, k, truth_of(_picture, panes), _apart))
