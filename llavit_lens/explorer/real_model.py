"""What to do with one's own image: a real model, where a demo model has nothing to say."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from llavit_lens.explorer import session
from llavit_lens.explorer.view import OWN, View
from llavit_lens.inputs import is_demo

MEGABITS = 100
"""A second, of the line for which minutes are given."""


@dataclass(frozen=True)
class RealModel:
    """A model on the Hugging Face Hub.

    Attributes:
        name: as `load` takes it.
        weights: their number, of which files and memory follow: 2 bytes each in bfloat16, 4 in
            float32.
    """

    name: str
    weights: int

    @property
    def gigabytes(self) -> float:
        """Of its files, and of its memory in bfloat16."""
        return 2 * self.weights / 1e9

    @property
    def minutes(self) -> float:
        """To download it at `MEGABITS`."""
        return 8 * self.gigabytes * 1000 / MEGABITS / 60

    def size(self) -> str:
        """In words."""
        return (
            f"{self.gigabytes:.2g} GB to download, about {round(self.minutes)} minutes at "
            f"{MEGABITS} Mbit/s; {self.gigabytes:.2g} GB of memory in bfloat16, "
            f"{2 * self.gigabytes:.2g} in float32"
        )


SMALL = RealModel("llava-hf/llava-interleave-qwen-0.5b-hf", 864_031_264)
"""LLaVA with a Qwen2 decoder and a SigLIP tower; weights counted in a model of its config."""
LARGE = RealModel("llava-hf/llava-1.5-7b-hf", 7_063_427_072)
"""LLaVA-1.5; weights by the size that its index of files gives."""
NOTICE = "**Demo models know drawn scenes only; these words say nothing about your photograph.** "
OWN_PAGE = "For photographs, run the explorer on your own machine and load a real model there."
DETAILS = (
    f"{SMALL.name}: {SMALL.size()}. A larger one is {LARGE.name}: {LARGE.size()}. These sizes "
    "follow from the numbers of weights. Both are of kinds that this package reads; with these two "
    "it was not tried."
)
_DISMISSED = "real_model_dismissed"


def notice(public: bool) -> str:
    """What stands over a user's own image, as Markdown."""
    if public:
        return NOTICE + OWN_PAGE
    return (
        f"{NOTICE}Load a real model, such as {SMALL.name}: {SMALL.gigabytes:.2g} GB to download "
        f"(about {round(SMALL.minutes)} minutes at {MEGABITS} Mbit/s) and as much memory."
    )


def show_notice(view: View, public: bool) -> None:
    """The notice, where a demo model looks at an image of the user's own, until it is dismissed."""
    models = (view.model, view.other) if view.has_two_models else (view.model,)
    if view.picture != OWN or not any(map(is_demo, models)) or st.session_state.get(_DISMISSED):
        return
    with st.container(key="real_model", horizontal=True, vertical_alignment="center"):
        st.markdown(notice(public), help=None if public else DETAILS)
        if not public:
            st.button("Load it", key="load_small", on_click=_load, args=(SMALL,))
        st.button("Hide", key="hide_real_model", on_click=_dismiss)


def _load(model: RealModel) -> None:
    st.session_state["model"] = model.name
    session.on_model_change("model")


def _dismiss() -> None:
    st.session_state[_DISMISSED] = True
