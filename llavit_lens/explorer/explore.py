"""From a view to what the page shows of it: models read, words are found, panels are filled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import panels, pictures, state
from llavit_lens.explorer.ablation import Ablation
from llavit_lens.explorer.bench import Bench, Reading, Source, key_of, stamped
from llavit_lens.explorer.choices import Offer
from llavit_lens.explorer.downloads import truth_of
from llavit_lens.explorer.first_view import FirstView, first_view
from llavit_lens.explorer.opening import Start, opening_layer, opening_patch, start_of
from llavit_lens.explorer.payload import encoded, still_payload
from llavit_lens.explorer.plain import plain
from llavit_lens.explorer.search import moving_payload
from llavit_lens.explorer.sides import Side, apart_of, sides_of, why_unchanged
from llavit_lens.explorer.switches import show_switches
from llavit_lens.explorer.view import OWN, View
from llavit_lens.explorer.waiting import shown_waiting
from llavit_lens.lens.difference import matched_layer
from llavit_lens.lens.search import Found, search

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator


def explore(
    view: View,
    first: FirstView | None,
    offer: Offer,
    above: DeltaGenerator,
    answer_place: DeltaGenerator,
    view_place: DeltaGenerator,
) -> None:
    """Fill the page.

    Args:
        view: what is asked for.
        first: the first view, if that is what the page shows already.
        offer: the models that may be loaded.
        above, answer_place, view_place: where more controls, the answers and the view stand.

    Raises:
        LlavitLensError: a model, picture or setting that does not work.
    """
    picture = _picture(view)

    def read(name: str, ablations: tuple[Ablation, ...]) -> tuple[Source, Reading]:
        return _read(name, offer, ablations, view.prompt, picture)

    with above:
        if view.mode == "ablate":
            _, whole = read(view.model, ())
            show_switches(view, whole.depth, offer)
            view = state.current()  # with what was corrected
        answering, sides = sides_of(view, offer, read)
    readings = [side.reading for side in sides]
    apart = _apart(repr([r.key for r in readings]), *readings) if len(readings) == 2 else None
    start = _start(view, readings, apart)
    if start.fault and not st.session_state[state.PENDING]:  # it may be right for that model
        above.warning(plain(start.fault))
        state.correct(start)
    view = state.current()
    with above:
        found = _search(view.word, sides)
    searched = moving_payload(
        view.word,
        [(s.title, s.reading, f) for s, f in zip(sides, found, strict=True)],
    )
    still = _still_of(view, sides, picture, apart)
    if first is None:
        with view_place:
            state.show_view(still, start, searched)
    if not offer.public:
        state.remember_loaded(side.source.name for side in answering)
    state.tell_link(view, offer)
    if view.mode == "ablate" and len(sides) == 2 and (why := why_unchanged(sides, apart)):
        above.caption(f"No word on any patch changes: {why}.")
    with answer_place.container():
        panels.show_answers(_bench(), answering, picture, view.prompt, offer)
    panels.show_trajectories(sides, start, found)
    panels.show_downloads(_bench(), sides, picture, start, still, searched)


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
        matched_layer(opening_layer(readings[-1]), readings[-1].depth, lead.depth),
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
    if view.picture == OWN and (own := state.own_picture()) is not None:
        return own
    return pictures.example("" if view.picture == OWN else view.picture)


def _read(
    name: str,
    offer: Offer,
    ablations: tuple[Ablation, ...],
    prompt: str,
    picture: pictures.Picture,
) -> tuple[Source, Reading]:
    if offer.public and name not in offer.names:
        raise ConfigurationError(f"{name}: not among the models of this page; choose one of those")
    source = stamped(Source(name, st.session_state["device"], st.session_state["dtype"]))
    bench = _bench()
    known = bench.known_reading(source, picture, prompt, ablations)
    if known is not None:
        return source, known
    return source, shown_waiting(
        offer.title(name),
        key_of(source, picture, prompt, ablations),
        lambda notes: bench.read(source, picture, prompt, ablations, notes.watch),
    )


def _search(word: str, sides: list[Side]) -> list[Found | None]:
    """The word in each side's words; None, and the page says why, where it cannot be followed."""
    found: list[Found | None] = [None for _ in sides]
    faults: dict[str, list[str]] = {}
    for number, side in enumerate(sides) if word.strip() else ():
        try:
            found[number] = _found(repr(side.reading.key), word, side.reading)
        except LlavitLensError as error:
            faults.setdefault(str(error), []).append(side.title)
    for fault, titles in faults.items():
        whose = "" if len(titles) == len(sides) else f"{' and '.join(titles)}: "
        st.warning(plain(whose + fault))
    return found


@st.cache_resource(max_entries=32, show_spinner=False)
def _found(key: str, word: str, _reading: Reading) -> Found:
    return search(word, _reading.trace, _reading.words)


@st.cache_resource(max_entries=8, show_spinner=False)
def _apart(key: str, _left: Reading, _right: Reading) -> np.ndarray:
    return apart_of(_left, _right)


def _still_of(
    view: View, sides: list[Side], picture: pictures.Picture, apart: np.ndarray | None
) -> bytes:
    # a search leaves the picture and its words as they are: the view in the browser may stay
    if (stored := _stored(view)) is not None:
        return stored.still
    # what is true of a picture goes by its name: the same one from outside has no truth
    key = repr([picture.name, *((side.title, side.reading.key) for side in sides)])
    return _still(key, view.k, sides, picture, apart)


@st.cache_resource(max_entries=8, show_spinner=False)
def _still(
    key: str,
    k: int,
    _sides: list[Side],
    _picture: pictures.Picture,
    _apart: np.ndarray | None,
) -> bytes:
    panes: list[tuple[str, Any]] = [(side.title, side.reading) for side in _sides]
    return encoded(still_payload(panes, _picture.shown, k, truth_of(_picture, panes), _apart))
