"""The page that searches a corpus: a word, its best patches, and what is read most."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.explorer import component, session
from llavit_lens.explorer.choices import PER
from llavit_lens.explorer.corpus import Corpus, chosen_index, open_corpus
from llavit_lens.explorer.corpus_code import corpus_code
from llavit_lens.explorer.corpus_search import Found, search_corpus, statistics, view_of_hit
from llavit_lens.explorer.offered_models import OfferedIndexes, OfferedModels
from llavit_lens.explorer.wording import escape_markdown
from llavit_lens.inputs import DEFAULT_PROMPT

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from llavit_lens.explorer.view import View
    from llavit_lens.results.hits import Hits

AT_ONCE = 5_000
"""Images of a corpus whose statistics are shown without a click."""
WHAT = (
    "An **index** holds the words that a model reads in every patch of many images, at every "
    "layer: so a word is found in all of them at once."
)
MAKE = 'llavit-lens scan IMAGES --model demo:llavit --out INDEX  # "IMAGES": a folder of images'
START = "streamlit run apps/explorer.py -- --index INDEX"


def show_corpus(models: OfferedModels, indexes: OfferedIndexes, notes: DeltaGenerator) -> None:
    """Fill the page.

    Args:
        models: those that the page offers, to look at a hit.
        indexes: those that it offers.
        notes: where errors stand.
    """
    with st.sidebar:
        _show_choice(indexes)
        about = st.container()
    if not (st.session_state["index"] or indexes.first):
        _show_hint(indexes.public)
        return

    def without_paths(text: str) -> str:
        return models.without_paths(indexes.without_paths(text))

    is_open = False
    try:
        view = session.current_view()
        corpus = open_corpus(chosen_index(view))
        with about:
            _show_about(corpus, models)
        is_open = True
        view = _show_questions(view, corpus)
        if not indexes.public:
            session.accept_index(corpus.path)
        session.update_address(view, models)
        _show_answer(view, corpus, models, indexes, without_paths)
    except LlavitLensError as error:
        notes.error(escape_markdown(without_paths(str(error))))
        if not is_open:
            _show_hint(indexes.public)


def _show_choice(indexes: OfferedIndexes) -> None:
    """Which index: of those that are offered, or, on a page of one's own, any folder."""
    index = st.session_state["index"]
    options = indexes.names if index in ("", *indexes.names) else (*indexes.names, index)
    if indexes.public and len(options) < 2:
        return
    if not index and options:
        st.session_state["index"] = options[0]
    st.selectbox(
        "Index",
        options,
        key="index",
        index=None,
        format_func=indexes.to_link,
        placeholder="the folder of an index",
        accept_new_options=not indexes.public,
        on_change=session.on_index_change,
    )
    if not indexes.public:
        st.caption("Choose one, or type the folder that `llavit-lens scan --out` wrote.")


def _show_hint(public: bool) -> None:
    """What an index is, and how one is made."""
    if public:
        st.info("This page has no corpus that can be searched.")
        return
    st.markdown(WHAT)
    st.markdown("Make one, then choose it on the left, or start the page with it:")
    st.code(f"{MAKE}\n{START}", language="sh")


def _show_about(corpus: Corpus, models: OfferedModels) -> None:
    index = corpus.words.index
    settings = index.settings
    layers = settings.layers
    lens = "logit lens" if settings.lens == "logit_lens" else "input similarity (cosine)"
    lines = [
        f"**{settings.images:,} images**, read by {escape_markdown(_model(corpus, models))}",
        f"{lens}, {len(layers)} layer{'s' * (len(layers) != 1)}, the {settings.k} best words of "
        "each patch",
        f"asked “{escape_markdown(settings.prompt)}”",
    ]
    st.caption("  \n".join(lines))
    st.caption(WHAT)


def _model(corpus: Corpus, models: OfferedModels) -> str:
    """The name of the model that read the corpus, as people may see it."""
    name = corpus.words.index.model
    return models.title(name) if name in models.names else models.without_paths(name)


def _show_questions(view: View, corpus: Corpus) -> View:
    """The word, the layer and the least probability; a layer that was not read is corrected."""
    layers = list(corpus.words.layers)
    if view.at is not None and view.at not in layers:
        st.warning(f"No layer {view.at} in this index: all layers are searched.")
        view = session.correct(view, at=None)
    if view.word != (word := view.word.strip()):
        view = replace(view, word=word)
    of_logits = corpus.words.index.settings.lens == "logit_lens"
    with st.container(key="corpus_questions"):
        first, second, third, fourth = st.columns([3, 1.4, 2, 2])
        first.text_input("Find a word", key="word", max_chars=64, placeholder="for example: sky")
        second.selectbox(
            "At",
            layers,
            key="at",
            index=None,
            format_func=lambda layer: f"layer {layer}",
            placeholder="all layers",
        )
        third.segmented_control(
            "One hit for each", list(PER), key="per", format_func=PER.__getitem__, required=True
        )
        if of_logits:
            fourth.slider("Probability at least", 0, 99, key="least", format="%d%%")
    return view


def _show_answer(
    view: View,
    corpus: Corpus,
    models: OfferedModels,
    indexes: OfferedIndexes,
    without_paths: Callable[[str], str],
) -> None:
    if not view.word:
        st.caption("Type a word: its best patches in the whole corpus are shown here.")
        _show_statistics(corpus)
        return
    try:
        with st.spinner("Searching", show_time=True):
            found = search_corpus(corpus, view)
    except ConfigurationError as error:  # most often a word that the model cannot say
        st.warning(escape_markdown(without_paths(str(error))))
        _show_statistics(corpus)
        return
    hits = found.hits
    hits = replace(hits, model=_model(corpus, models), note=without_paths(hits.note))
    _show_heading(hits)
    if len(hits):
        component.show_sheet(
            found.tiles, found.identity, partial(_on_hit, view, found, corpus, models)
        )
        _show_downloads(hits, corpus)
    component.show_copy_link(False)
    with st.expander("The same in Python"):
        st.code(corpus_code(indexes.to_link(corpus.path), view, hits), language="python")
    _show_statistics(corpus)


def _show_heading(hits: Hits) -> None:
    from llavit_lens.figures.hit_texts import heading

    title, about = heading(hits, len(hits))
    st.subheader(escape_markdown(title), anchor=False)
    tip = " Click a patch to read its image at that layer." if len(hits) else ""
    st.markdown(escape_markdown(about + tip))


def _on_hit(view: View, found: Found, corpus: Corpus, models: OfferedModels) -> None:
    """The user chose a hit: the reading page shows it, with the model that read the corpus."""
    number = component.chosen_hit(found.identity, len(found.hits))
    if number is None:
        return
    index = corpus.words.index
    prompt = "" if index.settings.prompt == DEFAULT_PROMPT else index.settings.prompt[:500]
    hit = view_of_hit(replace(view, index=corpus.path), found.hits, number, prompt)
    if index.model in models.names or (not models.public and session.is_accepted(index.model)):
        session.show_hit(hit, index.model, None)
    elif models.public:
        session.show_hit(hit, None, None)
        said = (
            f"This corpus was read by {_model(corpus, models)}, which this page does not offer: "
            "below are the words of another model."
        )
        st.session_state[session.WARNINGS] = [*st.session_state[session.WARNINGS], said]
    else:
        session.show_hit(hit, None, index.model)


def _show_downloads(hits: Hits, corpus: Corpus) -> None:
    stem = f"llavit-lens-{''.join(c if c.isalnum() else '-' for c in hits.word)}"

    def page() -> str:
        from llavit_lens.viewer.sheet import sheet_html

        return sheet_html(hits, corpus.images.open)

    def figure() -> bytes:
        from llavit_lens.figures.contact_sheet import draw_contact_sheet

        buffer = io.BytesIO()
        draw_contact_sheet(hits, images=corpus.images.open).savefig(buffer, format="png")
        return buffer.getvalue()

    with st.container(key="sheet_downloads", horizontal=True):
        st.download_button("Sheet (HTML)", page, f"{stem}.html", "text/html", on_click="ignore")
        st.download_button("Sheet (PNG)", figure, f"{stem}.png", "image/png", on_click="ignore")


def _show_statistics(corpus: Corpus) -> None:
    st.subheader("What is read most", anchor=False)
    st.caption(
        "For each layer the words that come first on most patches, in per cent of patches, and "
        "those whose first word is a newline."
    )
    if corpus.words.index.settings.images > AT_ONCE and not st.toggle("Count", key="statistics"):
        return
    try:
        with st.spinner("Counting", show_time=True):
            table = statistics(corpus)
    except ConfigurationError as error:
        st.caption(escape_markdown(str(error).replace(corpus.path, "The index")))
        return
    st.dataframe(
        table,
        hide_index=True,
        column_config={
            "layer": st.column_config.NumberColumn("Layer", width="small"),
            "newline": st.column_config.ProgressColumn(
                "Newline", format="%.1f%%", min_value=0, max_value=100
            ),
        },
    )
