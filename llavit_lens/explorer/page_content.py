"""From a view to what the page shows of it: models run, words are searched, the page is filled."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import streamlit as st

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import session
from llavit_lens.explorer.ablation import Ablation
from llavit_lens.explorer.ablation_switches import show_switches
from llavit_lens.explorer.answers import show_answers
from llavit_lens.explorer.corpus import chosen_index, corpus_image
from llavit_lens.explorer.download_buttons import show_downloads
from llavit_lens.explorer.downloads import truth_of
from llavit_lens.explorer.effect import effect
from llavit_lens.explorer.encoded_payload import EncodedPayload
from llavit_lens.explorer.first_view import FirstView, first_view
from llavit_lens.explorer.input_image import InputImage, example_image
from llavit_lens.explorer.lens_cache import LensCache, LensResult, key_of
from llavit_lens.explorer.marks import marked
from llavit_lens.explorer.model_spec import ModelSpec, with_stamp
from llavit_lens.explorer.offered_models import OfferedModels
from llavit_lens.explorer.own_image import own_image
from llavit_lens.explorer.panes import (
    Pane,
    check_pair,
    difference_of,
    panes_of,
    unchanged_reason,
)
from llavit_lens.explorer.python_code import python_code
from llavit_lens.explorer.real_model import show_notice
from llavit_lens.explorer.resolution import resolution
from llavit_lens.explorer.search_payload import search_payload
from llavit_lens.explorer.start import Start, start_of
from llavit_lens.explorer.trajectories import show_trajectories
from llavit_lens.explorer.view import OWN, View, number_in_corpus
from llavit_lens.explorer.waiting import run_and_show
from llavit_lens.explorer.wording import escape_markdown
from llavit_lens.inputs import DEFAULT_PROMPT
from llavit_lens.lens.search import Found, search
from llavit_lens.results.matching import matched_layer
from llavit_lens.results.words import surest_layer
from llavit_lens.viewer.payload import words_payload
from llavit_lens.viewer.start import telling_patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from streamlit.delta_generator import DeltaGenerator


class Places(NamedTuple):
    """Containers of the page's parts; `warn` adds to the box that says what was wrong."""

    notes: DeltaGenerator
    warn: Callable[[str], None]
    interventions: DeltaGenerator
    answers: DeltaGenerator
    effects: DeltaGenerator
    view: DeltaGenerator


def show_content(
    view: View,
    first: FirstView | None,
    models: OfferedModels,
    places: Places,
) -> None:
    """Fill the page.

    Args:
        view: what the page is to show.
        first: the first view, if the page shows it already.
        models: those that may be loaded.
        places: containers of the page's parts.

    Raises:
        LlavitLensError: a model, image or setting that does not work.
    """
    view = _working(view, models, places)
    image, cache = _image(view), _cache()

    def get_result(name: str, ablations: tuple[Ablation, ...]) -> tuple[ModelSpec, LensResult]:
        return _result(name, models, ablations, view.prompt, image)

    _, whole = get_result(view.model, ())
    if view.mode == "ablate":
        with places.interventions:
            view = show_switches(view, whole.depth, models)
    with places.answers:
        answering, panes = panes_of(view, models, get_result)
    differences = _differences(panes)
    stored = _stored(view)
    start = stored.start(view) if stored else _start(view, panes, differences)
    if start.fault and not st.session_state[session.PENDING]:  # it may be right for that model
        places.warn(start.fault)
        view = session.correct(view, layer=start.view.layer, patch=start.view.patch)
    with places.notes:
        searches = _searches(view.word, panes)
    searched = search_payload(
        view.word, [(p.title, p.result, s) for p, s in zip(panes, searches, strict=True)]
    )
    words = stored.words if stored else _words(view.k, panes, image, differences)
    with places.view:
        show_notice(view, models.public)
        if first is None:
            session.show_view(words, start, searched)
        titled = [(models.short_title(pane.spec.name), pane.result) for pane in panes]
        st.caption(resolution(image.shown_size, titled))
    if not models.public:
        session.accept_from_links(pane.spec.name for pane in answering)
    session.update_address(view, models)
    with places.answers.container():
        show_answers(cache, answering, image, view.prompt, models)
    if view.mode == "ablate":
        unchanged = unchanged_reason(panes, differences)
        with places.effects:
            _show_effects(cache, answering, panes[0], image, view.prompt, start.layer, unchanged)
    show_trajectories(panes, start, searches)
    show_downloads(cache, panes, image, start, words, searched)
    with st.expander("The same in Python"):
        st.code(python_code(answering, panes[0], image, view, start, models), language="python")


def _working(view: View, models: OfferedModels, places: Places) -> View:
    """The view, if its image, models and question work; else it keeps those that worked last (and
    asks them the new question, if that works), and what is wrong stands above.

    Raises:
        LlavitLensError: nothing has worked before.
    """
    try:
        _check(view, models, places)
    except LlavitLensError as error:
        last: View | None = st.session_state.get(session.WORKED)
        if last is None:
            raise
        fault = models.without_paths(str(error))
        places.notes.error(f"{escape_markdown(fault)}.  \nBelow is what you saw before.")
        kept = ("picture", "index", "model", "other", "mode", "pair")
        view = replace(view, **{name: getattr(last, name) for name in kept})
        try:
            _check(view, models, places)
        except LlavitLensError:
            view = replace(view, prompt=last.prompt)
            _check(view, models, places)
    st.session_state[session.WORKED] = view
    return view


def _check(view: View, models: OfferedModels, places: Places) -> None:
    """Run the models of a view, as they are.

    Raises:
        LlavitLensError: its image, a model or the question does not work.
    """
    image = _image(view)
    check_pair(view)
    with places.answers:  # while models run, their progress stands where the answers will
        for name in (view.model, view.other) if view.has_two_models else (view.model,):
            _result(name, models, (), view.prompt, image)


def _show_effects(
    cache: LensCache,
    answering: list[Pane],
    lead: Pane,
    image: InputImage,
    prompt: str,
    layer: int,
    unchanged: str | None,
) -> None:
    """What the interventions changed, in one line for each model; `layer` is one of `lead`."""
    lines = []
    for before, after in zip(answering[::2], answering[1::2], strict=False):
        if not after.ablations:
            continue
        answers = [cache.cached_answer(p.spec, image, prompt, p.ablations) for p in (before, after)]
        at = layer if layer < 0 else matched_layer(layer, lead.result.depth, before.result.depth)
        verdicts = [_verdict(image, prompt, answer) for answer in answers]
        lines.append(escape_markdown(effect(before, after, answers, at, unchanged, verdicts)))
    if lines:
        st.markdown("  \n".join(lines))


def _verdict(image: InputImage, prompt: str, answer: str | None) -> bool | None:
    """Whether an answer is right, where the truth of the image is known."""
    if image.scene is None or answer is None:
        return None
    return marked(image.scene, prompt or DEFAULT_PROMPT, answer).verdict


@st.cache_resource(show_spinner=False)
def _cache() -> LensCache:
    return LensCache()


def _image(view: View) -> InputImage:
    if view.picture == OWN and (image := own_image()) is not None:
        return image
    if (number := number_in_corpus(view.picture)) is not None:
        return corpus_image(chosen_index(view), number)
    return example_image("" if view.picture == OWN else view.picture)


def _result(
    name: str,
    models: OfferedModels,
    ablations: tuple[Ablation, ...],
    prompt: str,
    image: InputImage,
) -> tuple[ModelSpec, LensResult]:
    """The result of a model, from the cache or computed while the page shows how far it is."""
    if models.public and name not in models.names:
        raise ConfigurationError(f"{name}: not among the models of this page; choose one of those")
    spec = with_stamp(ModelSpec(name, st.session_state["device"], st.session_state["dtype"]))
    cache = _cache()
    result = cache.cached_result(spec, image, prompt, ablations)
    if result is None:
        result = run_and_show(
            models.title(name),
            key_of(spec, image, prompt, ablations),
            lambda progress: cache.result(spec, image, prompt, ablations, progress.watch),
        )
    return spec, result


def _differences(panes: list[Pane]) -> np.ndarray | None:
    """See `difference_of`; None of a single pane."""
    if len(panes) != 2:
        return None
    left, right = (pane.result for pane in panes)
    return _cached_differences(repr([left.key, right.key]), left, right)


@st.cache_resource(max_entries=8, show_spinner=False)
def _cached_differences(key: str, _left: LensResult, _right: LensResult) -> np.ndarray:
    return difference_of(_left, _right)


def _start(view: View, panes: list[Pane], differences: np.ndarray | None) -> Start:
    """Where the view starts."""
    lead, last = panes[0].result, panes[-1].result
    return start_of(
        view,
        lead.depth,
        len(lead.words.layout),
        # of two models the one on the right is of more interest
        matched_layer(surest_layer(last.words), last.depth, lead.depth),
        lambda layer: telling_patch(
            lead.words, max(layer, 0), None if differences is None else differences[layer + 1]
        ),
    )


def _stored(view: View) -> FirstView | None:
    """The first view, if it is this one: a search leaves its words as they are, so that the view in
    the browser may stay."""
    return first_view(replace(view, word="")) if session.uses_default_device() else None


def _searches(word: str, panes: list[Pane]) -> list[Found | None]:
    """The word in each pane; None, and a warning on the page, where it cannot be followed."""
    searches: list[Found | None] = [None for _ in panes]
    faults: dict[str, list[str]] = {}
    for number, pane in enumerate(panes) if word.strip() else ():
        try:
            searches[number] = _cached_search(repr(pane.result.key), word, pane.result)
        except LlavitLensError as error:
            faults.setdefault(str(error), []).append(pane.title)
    for fault, titles in faults.items():
        names = "" if len(titles) == len(panes) else f"{' and '.join(titles)}: "
        st.warning(escape_markdown(names + fault))
    return searches


@st.cache_resource(max_entries=32, show_spinner=False)
def _cached_search(key: str, word: str, _result: LensResult) -> Found:
    return search(word, _result.trace, _result.words)


def _words(
    k: int, panes: list[Pane], image: InputImage, differences: np.ndarray | None
) -> EncodedPayload:
    # an uploaded copy of an example has no truth, so the name counts too
    key = repr([image.name, *((pane.title, pane.result.key) for pane in panes)])
    return _cached_words(key, k, panes, image, differences)


@st.cache_resource(max_entries=8, show_spinner=False)
def _cached_words(
    key: str,
    k: int,
    _panes: list[Pane],
    _image: InputImage,
    _differences: np.ndarray | None,
) -> EncodedPayload:
    results = [(pane.title, pane.result) for pane in _panes]
    truth = truth_of(_image, results)
    return EncodedPayload.of(words_payload(results, _image.display, k, truth, _differences))
