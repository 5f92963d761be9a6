"""The explorer's page, run from top to bottom by Streamlit whenever something changed.

Nothing here needs PyTorch, which takes seconds to import: the page shows the first view earlier.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import NoReturn

import streamlit as st

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import (
    component,
    corpus_page,
    guide,
    session,
    sidebar,
    style,
    uploads,
    visitors,
)
from llavit_lens.explorer.allowed_hosts import is_allowed_host
from llavit_lens.explorer.choices import MODES
from llavit_lens.explorer.first_view import first_view
from llavit_lens.explorer.offered_models import OfferedIndexes, OfferedModels, demo_models
from llavit_lens.explorer.suggestions import are_settled, show_suggestions
from llavit_lens.explorer.wording import escape_markdown
from llavit_lens.inputs import DEFAULT_PROMPT


def main(arguments: Sequence[str]) -> None:
    """Show the page.

    Args:
        arguments: what follows `--` on Streamlit's command line.
    """
    try:
        options = _options(arguments)
    except ConfigurationError as error:
        st.error(escape_markdown(str(error)))
        return
    uploads.bound_uploads()
    if (refusal := _refusal(options.public)) is not None:
        st.error(escape_markdown(refusal))
        return
    names = dict.fromkeys([*options.model, *demo_models()])
    models = OfferedModels(tuple(names), options.public)
    indexes = OfferedIndexes(tuple(dict.fromkeys(options.index)), options.public)
    st.set_page_config(page_title="llavit-lens explorer", page_icon="🔎", layout="wide")
    session.begin(models, indexes)
    st.html(style.css(st.session_state["mode"]))
    if st.session_state["mode"] == "corpus":
        head = st.container(key="head")
        _show_head(head, indexes)
        notes = head.container()
        _warnings(notes)
        corpus_page.show_corpus(models, indexes, notes)
        return
    interventions = sidebar.show_sidebar(models)
    head = st.container(key="head")
    _show_head(head, indexes)
    notes, above = head.container(), st.container(key="questions")
    answer_place, effect_place = st.container(key="answers").empty(), st.container(key="effects")
    view_place = st.container(key="view")
    _show_questions(above)
    if settled := are_settled():
        _show_suggestions(above)
    warn = _warnings(notes)
    try:
        view = session.current_view()
        first = first_view(view) if session.uses_default_device() else None
        if first is not None:
            # as high as the answer, so that the view does not jump
            answer_place.info("The model is being loaded.\n\nIts answer will stand here.")
            with view_place:
                session.show_view(first.words, first.start(view), None)
        with st.spinner("Loading PyTorch" if first else "Reading", show_time=False):
            from llavit_lens.explorer.page_content import Places, show_content
        places = Places(notes, warn, interventions, answer_place, effect_place, view_place)
        show_content(view, first, models, places)
    except LlavitLensError as error:
        notes.error(escape_markdown(models.without_paths(str(error))))
    if not settled:
        _show_suggestions(above)


def _refusal(public: bool) -> str | None:
    """Why this visitor cannot use the page; None if they can."""
    if public:
        if visitors.admit_visitor():
            return None
        return (
            f"{visitors.MOST_VISITORS} people have this page open, which is as many as it takes. "
            "Load it again in some minutes."
        )
    host = st.context.headers.get("Host")
    server, browser = st.get_option("server.address"), st.get_option("browser.serverAddress")
    # the owner of the page chose the names that Streamlit lets in
    if st.get_option("server.allowedHosts") or is_allowed_host(host, server, browser):
        return None
    return (
        f"This page was opened as {host}, but it is for this machine alone: open it as localhost. "
        "If that is this machine's own name, start the explorer with it: "
        "--browser.serverAddress NAME"
    )


class _Parser(argparse.ArgumentParser):
    """A page cannot exit: it shows what is wrong with the command line."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"the command line, after `--`: {message}")


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = _Parser(prog="streamlit run apps/explorer.py --", add_help=False)
    parser.add_argument(
        "--public",
        action="store_true",
        help="offer the models and indexes below only, and no local folders",
    )
    parser.add_argument(
        "--model", action="append", default=[], help="offer this model too; may be repeated"
    )
    parser.add_argument(
        "--index",
        action="append",
        default=[],
        help="offer the corpus of this index; may be repeated",
    )
    return parser.parse_args(arguments)


def _show_head(place: st.delta_generator.DeltaGenerator, indexes: OfferedIndexes) -> None:
    has_corpus = bool(indexes.names) or not indexes.public
    row = place.container(key="title", horizontal=True, vertical_alignment="center")
    row.html(guide.TITLE)
    row.segmented_control(
        "Mode",
        [mode for mode in MODES if mode != "corpus" or has_corpus],
        key="mode",
        format_func=MODES.__getitem__,
        required=True,
        label_visibility="collapsed",
        width="content",
    )
    with row:
        guide.show_help()
    with place:
        component.show_about(is_new=not st.session_state[session.OF_LINK])


def _warnings(place: st.delta_generator.DeltaGenerator) -> Callable[[str], None]:
    """Show what was wrong, in one box however much it was; the result adds something to it."""
    texts: list[str] = []
    box: st.delta_generator.DeltaGenerator | None = None  # an empty one would take room

    def add(*more: str) -> None:
        nonlocal box
        texts.extend(text if text.endswith(".") else f"{text}." for text in more)
        if texts:
            box = box or place.empty()
            box.warning(escape_markdown(" ".join(texts)))

    add(*st.session_state[session.WARNINGS])
    st.session_state[session.WARNINGS] = []
    return add


def _show_questions(place: st.delta_generator.DeltaGenerator) -> None:
    left, right = place.columns([2, 3])
    left.text_input("Find a word", key="word", max_chars=64, placeholder="for example: sky")
    right.text_input("Ask", key="prompt", max_chars=500, placeholder=DEFAULT_PROMPT)


def _show_suggestions(place: st.delta_generator.DeltaGenerator) -> None:
    with place:
        show_suggestions()
