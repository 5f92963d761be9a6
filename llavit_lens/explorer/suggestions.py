"""Questions to ask with one click, under the field of the question."""

from __future__ import annotations

import streamlit as st

from llavit_lens.explorer import session
from llavit_lens.explorer.view import OWN, View, needs_two_models
from llavit_lens.inputs import DEMO_PREFIX, is_demo
from llavit_lens.miniature.benchmark.learned_questions import ENOUGH, suggested_questions
from llavit_lens.miniature.world.scenes import example_names, example_truth

GENERAL = ("What is in the image?", "What text can be read?", "What is unusual about this image?")
"""For models whose skills are not known."""
LEARNED_HELP = (
    "Questions about this scene, of kinds that the chosen demo models answer right in at least "
    f"{ENOUGH:.0%} of the cases after each of three trainings. Whether they are right here was not "
    "looked at. Questions such as “Where is the fish?” they have not learned."
)
GENERAL_HELP = "Questions that fit any image."


def suggestions(image: str, models: tuple[str, ...]) -> list[str]:
    """Questions for an image and the models that look at it.

    Of an example scene those that its demo models have learned. Demo models know nothing of other
    images, so there are none; for other models there are general ones.

    Args:
        image: name of an example scene, or `OWN`.
        models: as `load` takes them.
    """
    if not all(is_demo(model) for model in models):
        return list(GENERAL)
    if image == OWN or image not in example_names():
        return []
    variants = [model.removeprefix(DEMO_PREFIX) for model in models]
    return suggested_questions(example_truth(image).scene, variants)


def are_settled() -> bool:
    """Whether the image and the models that the user chose are those that worked last, or the first
    ones: whether others work, and so what they can be asked, shows when they have run."""
    last: View | None = st.session_state.get(session.WORKED)
    return last is None or _chosen() == _of(last)


def show_suggestions() -> None:
    """The questions as chips; a click asks one, and a second click the default question.

    They are about the image and the models that worked last.
    """
    state = st.session_state
    last: View | None = state.get(session.WORKED)
    offered = suggestions(*(_chosen() if last is None else _of(last)))
    if not offered:
        return
    state["suggestion"] = state["prompt"] if state["prompt"] in offered else None
    with st.container(key="suggestions", horizontal=True, vertical_alignment="center"):
        why = GENERAL_HELP if offered == list(GENERAL) else LEARNED_HELP
        st.caption("Or ask:", help=why, width="content")
        st.pills(
            "Suggested questions",
            offered,
            key="suggestion",
            on_change=_ask,
            label_visibility="collapsed",
        )


def _chosen() -> tuple[str, tuple[str, ...]]:
    """The image and the models that the widgets of the page give."""
    state = st.session_state
    two = needs_two_models(state["mode"], state["pair"])
    return state["picture"], (state["model"], state["other"]) if two else (state["model"],)


def _of(view: View) -> tuple[str, tuple[str, ...]]:
    """The image and the models of a view."""
    models = (view.model, view.other) if view.has_two_models else (view.model,)
    return view.picture, models


def _ask() -> None:
    st.session_state["prompt"] = st.session_state["suggestion"] or ""
