"""What the page remembers between two runs of its script, and its link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

import streamlit as st

from llavit_lens.errors import ConfigurationError
from llavit_lens.explorer import component
from llavit_lens.explorer.ablation import Ablation, to_link
from llavit_lens.explorer.choices import ABLATIONS
from llavit_lens.explorer.encoded_payload import EncodedPayload
from llavit_lens.explorer.input_image import example_title
from llavit_lens.explorer.offered_models import OfferedIndexes, OfferedModels
from llavit_lens.explorer.start import Start
from llavit_lens.explorer.view import OWN, UNPINNED, View, number_in_corpus
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_names

_FIELDS = tuple(field.name for field in fields(View))
_MODELS = ("model", "other")
_DEVICE = {"device": "auto", "dtype": "auto"}
WARNINGS = "warnings"
"""Texts that the next run shows."""
PENDING = "pending_models"
"""Models of the link that the user has not agreed to, by the field of the view."""
OF_LINK = "of_link"
"""Whether the page was opened by a link to some view, not by its bare address."""
WORKED = "worked"
"""The last view that could be shown."""
INDEXES = "offered_indexes"
"""The `OfferedIndexes` of the page."""
_ADDRESS = "address"
"""The query parameters that were last written to the browser's address."""


def begin(models: OfferedModels, indexes: OfferedIndexes) -> None:
    """Take the view from the link, on the first run of a session.

    A link cannot make the page load a folder or fetch a model from the Hub by itself: such names
    wait until the user agrees, and a public page refuses them. Nor can it open an index that the
    page does not offer, unless a user has opened it already.
    """
    st.session_state[INDEXES] = indexes
    if PENDING in st.session_state:
        for name in _FIELDS:  # Streamlit forgets the values of widgets that a run did not show
            st.session_state[name] = st.session_state.get(name, getattr(View(), name))
        for name, default in _DEVICE.items():
            st.session_state[name] = st.session_state.get(name, default)
        return
    view, faults = View.from_query(st.query_params.to_dict())
    pending: dict[str, str] = {}
    for name in _MODELS:
        in_link = getattr(view, name)
        if (model := models.of_link(in_link)) is not None:
            view = _changed(view, {name: model})
        elif models.public or in_link not in _accepted_models():
            pending[name] = in_link
    view, fault = _with_index(view, indexes)
    faults += [fault] if fault else []
    for name in _FIELDS:
        value = getattr(View(), name) if name in pending else getattr(view, name)
        st.session_state.setdefault(name, value)
    faults += _check_example(view.picture)
    if models.public and pending:
        refused = ", ".join(dict.fromkeys(pending.values()))
        faults.append(f"{refused}: not among the models of this page; choose one of those.")
        pending = {}
    for name, value in _DEVICE.items():
        st.session_state.setdefault(name, value)
    st.session_state[OF_LINK] = bool(st.query_params.to_dict())
    st.session_state[PENDING] = pending
    st.session_state[WARNINGS] = faults


def _check_example(name: str) -> list[str]:
    """Show the first example scene if the link names none that is there; what is wrong with it."""
    faults, first = [], example_title(FIRST_EXAMPLE)
    if name == OWN:
        faults.append(
            f"This link is about an image that it does not hold: this is {first}. "
            "Upload yours again."
        )
    elif name and number_in_corpus(name) is None and name not in example_names():
        faults.append(f"No example scene {name!r}: this is {first}.")
    if faults or not st.session_state["picture"]:
        st.session_state["picture"] = FIRST_EXAMPLE
    return faults


def _with_index(view: View, indexes: OfferedIndexes) -> tuple[View, str]:
    """The view with the index of the link, or without it and its images; and what is wrong."""
    index = indexes.of_link(view.index) if view.index else indexes.first
    if index is None and not indexes.public and view.index in _accepted_indexes():
        index = view.index
    if index is not None:
        return replace(view, index=index if view.index else ""), ""
    of_corpus = number_in_corpus(view.picture) is not None
    without = replace(view, index="", picture="" if of_corpus else view.picture)
    if not view.index and not of_corpus:
        return without, ""
    name = indexes.to_link(view.index) or "an index"
    return without, f"This link is about {name}, which this page has not opened: open it first."


@st.cache_resource(show_spinner=False)
def _accepted_indexes() -> set[str]:
    """Indexes that a user of this server has opened: links may name them."""
    return set()


def accept_index(name: str) -> None:
    """Let links name this index."""
    _accepted_indexes().add(name)


def on_index_change() -> None:
    """The user chose an index or typed its name: images of another one do not count any more."""
    st.session_state["index"] = (st.session_state["index"] or "").strip()
    st.session_state["at"] = None
    if number_in_corpus(st.session_state["picture"]) is not None:
        st.session_state["picture"] = FIRST_EXAMPLE
        clear_patch()


def show_hit(view: View, model: str | None, asked: str | None) -> None:
    """Show the image, layer, patch and question of a view in the reading page.

    Args:
        view: of a hit.
        model: the model that read it, if it may be loaded; None: the model stays.
        asked: a model that waits until the user agrees.
    """
    for name in ("mode", "picture", "layer", "patch", "prompt", "index"):
        st.session_state[name] = getattr(view, name)
    st.session_state[PENDING].pop("model", None)
    if model is not None:
        st.session_state["model"] = model
    elif asked is not None:
        st.session_state[PENDING]["model"] = asked


def is_accepted(model: str) -> bool:
    """Whether a user of this server has loaded this model."""
    return model in _accepted_models()


def accept_model(name: str) -> None:
    """Load the model of the link."""
    st.session_state[name] = st.session_state[PENDING].pop(name)


def decline_model(name: str) -> None:
    """Do not load the model of the link."""
    st.session_state[PENDING].pop(name)


def on_model_change(name: str) -> None:
    """The user chose a model or typed its name: the model of the link does not count any more."""
    st.session_state[name] = st.session_state[name].strip()
    st.session_state[PENDING].pop(name, None)
    clear_patch()


@st.cache_resource(show_spinner=False)
def _accepted_models() -> set[str]:
    """Models that a user of this server has loaded: links may load them without a question, also
    the link of a page that is reloaded."""
    return set()


def accept_from_links(names: Iterable[str]) -> None:
    """Let links load these models."""
    _accepted_models().update(names)


def update_address(view: View, models: OfferedModels) -> None:
    """Let the browser's address be the link to this view.

    A model that waits for the user's consent stays in it. The address that Streamlit reports to a
    run may be older than what the run before has written, so both are compared.
    """
    names = {name: models.to_link(getattr(view, name)) for name in _MODELS}
    if view.index:
        names["index"] = st.session_state[INDEXES].to_link(view.index)
    query = _changed(view, names | st.session_state[PENDING]).to_query()
    if not query == st.session_state.get(_ADDRESS) == st.query_params.to_dict():
        st.query_params.from_dict(query)
        st.session_state[_ADDRESS] = query


def current_view() -> View:
    """The view that the widgets of the page give.

    Raises:
        ConfigurationError: the user entered something too long.
    """
    return View(**{name: st.session_state[name] for name in _FIELDS})


def uses_default_device() -> bool:
    """Whether the device and the precision are those that the page chooses."""
    return (st.session_state["device"], st.session_state["dtype"]) == ("auto", "auto")


def show_view(words: EncodedPayload, start: Start, search: dict[str, Any] | None) -> None:
    """Mount the view in the browser."""
    component.show_view(words, start.payload(), search, on_view_change)


def correct(view: View, **changes: Any) -> View:
    """The view with these changes, which the next run will find too."""
    st.session_state.update(changes)
    return replace(view, **changes)


def clear_patch() -> None:
    """Forget the pinned patch: in another image or model it would be somewhere else."""
    st.session_state["patch"] = None


def switch_key(kind: str) -> str:
    """The widget that switches an intervention on."""
    return f"switch {kind}"


def layers_key(kind: str, depth: int) -> str:
    """The widget that chooses an intervention's layers in a model of `depth` layers."""
    return f"layers of {kind}, {depth}"


def set_ablation(ablations: Sequence[Ablation]) -> None:
    """The user chose these interventions, in place of those that were on."""
    st.session_state["ablation"] = to_link(ablations)


def on_ablation_change(depth: int) -> None:
    """The user switched an intervention, or chose its layers."""
    ablations = []
    for kind in ABLATIONS:
        if st.session_state.get(switch_key(kind)):
            first, last = st.session_state.get(layers_key(kind, depth), (0, depth - 1))
            # "to the last" is another layer in a model of another depth
            is_full = (first, last) == (0, depth - 1)
            ablations.append(Ablation(kind, first, None if is_full else last))
    st.session_state["ablation"] = to_link(ablations)


def on_view_change() -> None:
    """The user chose something in the view. What the browser sends is checked."""
    choice = component.choice()
    slot, pin = choice.get("slot"), choice.get("pin")
    looks: dict[str, Any] = {name: choice.get(name) for name in ("color", "scale", "labels")}
    try:
        patch = UNPINNED if pin is None else _whole(pin)
        if pin is not None and patch < 0:
            return
        view = View(layer=_whole(slot) - 1, patch=patch, **looks)
    except (ConfigurationError, TypeError):
        return
    for name in ("layer", "patch", *looks):
        st.session_state[name] = getattr(view, name)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError
    return value


def _changed(view: View, changes: Mapping[str, Any]) -> View:
    return replace(view, **changes)
