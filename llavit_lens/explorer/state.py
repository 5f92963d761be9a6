"""What the page remembers between runs of its script, and its link."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from typing import Any

import streamlit as st

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import component, pictures, uploads
from llavit_lens.explorer.ablation import Ablation, to_link
from llavit_lens.explorer.choices import ABLATIONS, Offer
from llavit_lens.explorer.opening import Start
from llavit_lens.explorer.pictures import Limits, Picture
from llavit_lens.explorer.shelf import Shelf, Slot
from llavit_lens.explorer.view import OWN, UNPINNED, View

_FIELDS = tuple(field.name for field in fields(View))
_MODELS = ("model", "other")
OWN_PICTURE, NOTES, PENDING, TOLD = "own_picture", "notes", "pending_models", "told_link"
UPLOAD_FAULT, _LAST_GOOD = "upload_fault", "last_good_picture"
"""What is wrong with the file in the uploader; the picture that one before it was."""


def begin(offer: Offer) -> None:
    """On the first run of a session: take the view from the link.

    A link cannot make the page load a folder or fetch a model from the Hub by itself: such names
    wait until the user agrees, and to the public they are refused.
    """
    if PENDING in st.session_state:
        for name in _FIELDS:  # Streamlit forgets the values of widgets that a run did not show
            st.session_state[name] = st.session_state.get(name, getattr(View(), name))
        return
    view, faults = View.from_query(st.query_params.to_dict())
    pending: dict[str, str] = {}
    for name in _MODELS:
        asked = getattr(view, name)
        if (model := offer.of_link(asked)) is not None:
            known: dict[str, Any] = {name: model}
            view = replace(view, **known)
        elif offer.public or asked not in _loaded():
            pending[name] = asked
    for name in _FIELDS:
        value = getattr(View(), name) if name in pending else getattr(view, name)
        st.session_state.setdefault(name, value)
    if view.picture == OWN:
        faults.append("This link is about a picture that it does not hold: upload it again.")
        st.session_state["picture"] = ""
    elif view.picture and view.picture not in pictures.example_names():
        faults.append(f"There is no example scene {view.picture!r}.")
        st.session_state["picture"] = ""
    if not st.session_state["picture"]:
        st.session_state["picture"] = pictures.example_names()[0]
    if offer.public and pending:
        refused = ", ".join(dict.fromkeys(pending.values()))
        faults.append(f"{refused}: not among the models of this page; choose one of those.")
        pending = {}
    st.session_state.setdefault("device", "auto")
    st.session_state.setdefault("dtype", "auto")
    st.session_state[PENDING] = pending
    st.session_state[NOTES] = faults


def agree(name: str) -> None:
    """Load a model that the link asks for."""
    st.session_state[name] = st.session_state[PENDING].pop(name)


def decline(name: str) -> None:
    """Do not load a model that the link asks for."""
    st.session_state[PENDING].pop(name)


def take_model(name: str) -> None:
    """A model was chosen or typed, whatever the link asks for."""
    st.session_state[name] = st.session_state[name].strip()
    st.session_state[PENDING].pop(name, None)
    forget_patch()


@st.cache_resource(show_spinner=False)
def _loaded() -> set[str]:
    """Models that a user of this server had loaded: a link, or this page loaded anew, may ask for
    them again."""
    return set()


def remember_loaded(names: Iterable[str]) -> None:
    """The models of a view that works."""
    _loaded().update(names)


def tell_link(view: View, offer: Offer) -> None:
    """Let the browser's address be the link to this view.

    A model that waits for the user's consent stays in it. What a run hears of the address may be
    older than what the run before it has said, so both are looked at.
    """
    named = {name: offer.to_link(getattr(view, name)) for name in _MODELS}
    query = replace(view, **named | st.session_state[PENDING]).to_query()
    if not query == st.session_state.get(TOLD) == st.query_params.to_dict():
        st.query_params.from_dict(query)
        st.session_state[TOLD] = query


def current() -> View:
    """The view as the page stands.

    Raises:
        ConfigurationError: the user entered something too long.
    """
    return View(**{name: st.session_state[name] for name in _FIELDS})


def on_its_own_device() -> bool:
    """Whether nobody asked for another device or precision than this machine's own."""
    return (st.session_state["device"], st.session_state["dtype"]) == ("auto", "auto")


def show_view(still: bytes, start: Start, search: dict[str, Any] | None) -> None:
    """Mount the view, starting there."""
    component.show_view(still, {"start": start.payload(), "search": search}, take_choice)


def correct(start: Start) -> None:
    """A layer or patch that is not there gives way to what is shown instead."""
    st.session_state["layer"], st.session_state["patch"] = start.asked_layer, start.asked_patch


def switch_key(kind: str) -> str:
    """The widget that switches an intervention on."""
    return f"switch {kind}"


def layers_key(kind: str, depth: int) -> str:
    """The widget that chooses an intervention's layers in a model of so many."""
    return f"layers of {kind}, {depth}"


def take_switches(depth: int) -> None:
    """An intervention was switched, or its layers were chosen."""
    chosen = []
    for kind in ABLATIONS:
        if st.session_state.get(switch_key(kind)):
            first, last = st.session_state.get(layers_key(kind, depth), (0, depth - 1))
            # "to the last" is another layer in a model of another depth
            full = (first, last) == (0, depth - 1)
            chosen.append(Ablation(kind, first, None if full else last))
    st.session_state["ablation"] = to_link(chosen)


def take_choice() -> None:
    """Something was chosen in the view. What the browser says is checked."""
    said = component.choice()
    slot, pin = said.get("slot"), said.get("pin")
    shown: dict[str, Any] = {name: said.get(name) for name in ("color", "scale", "labels")}
    try:
        patch = UNPINNED if pin is None else _whole(pin)
        if pin is not None and patch < 0:
            return
        view = View(layer=_whole(slot) - 1, patch=patch, **shown)
    except (ConfigurationError, TypeError):
        return
    for name in ("layer", "patch", *shown):
        st.session_state[name] = getattr(view, name)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


@st.cache_resource(show_spinner=False)
def _shelf() -> Shelf:
    return Shelf()


def own_picture() -> Picture | None:
    """The image that the visitor brought, if any.

    Raises:
        ImageError: it had to make room for those of others.
    """
    slot: Slot | None = st.session_state.get(OWN_PICTURE)
    return None if slot is None else _shelf().get(slot)


def take_upload(limits: Limits) -> None:
    """A picture was chosen in the uploader, or taken out of it."""
    file = st.session_state["upload"]
    fault = st.session_state.pop(UPLOAD_FAULT, None)
    if file is None:
        if fault is None and st.session_state["picture"] == OWN:
            st.session_state["picture"] = pictures.example_names()[0]
            st.session_state[_LAST_GOOD] = st.session_state.pop(OWN_PICTURE, None)
            st.session_state["patch"] = None
        return
    # a file that replaces another one is taken out first, and may be none that can be shown
    last_good = st.session_state.pop(_LAST_GOOD, None)
    fault = _take(uploads.take_bytes(file), file.name, limits)
    if fault is not None:
        st.session_state[UPLOAD_FAULT] = fault
        if last_good is not None:
            st.session_state[OWN_PICTURE] = last_good
            st.session_state["picture"] = OWN
        return
    st.session_state["patch"] = None


def take_paste(limits: Limits) -> None:
    """A picture was pasted."""
    if (data := component.pasted_bytes()) is not None:
        fault = _take(data, "the pasted image", limits)
        if fault is not None:
            st.session_state[NOTES] = [*st.session_state[NOTES], fault]
            return
        st.session_state["patch"] = None


def _take(data: bytes, name: str, limits: Limits) -> str | None:
    """Show a picture from outside; or what is wrong with it."""
    try:
        picture = pictures.uploaded(data, name, limits)
    except LlavitLensError as error:
        return str(error)
    st.session_state[OWN_PICTURE] = _shelf().put(picture)
    st.session_state["picture"] = OWN
    return None


def forget_patch() -> None:
    """Another picture or model: the pin would be somewhere else."""
    st.session_state["patch"] = None
