"""What the models answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from llavit_lens.errors import LlavitLensError
from llavit_lens.explorer.marks import MARKED, NOT_COVERED, UNKNOWN, marked
from llavit_lens.explorer.offered_models import OfferedModels
from llavit_lens.explorer.panes import Pane
from llavit_lens.explorer.wording import escape_markdown
from llavit_lens.inputs import DEFAULT_PROMPT, is_demo

if TYPE_CHECKING:
    from llavit_lens.explorer.input_image import InputImage
    from llavit_lens.explorer.lens_cache import LensCache


def show_answers(
    cache: LensCache,
    panes: Sequence[Pane],
    image: InputImage,
    prompt: str,
    models: OfferedModels,
) -> None:
    """What each pane's model answers, two in a row; marked where the truth is known.

    A large model on a CPU only answers when the user presses a button.
    """
    question = escape_markdown(prompt or DEFAULT_PROMPT)
    for row in range(0, len(panes), 2):
        pair = panes[row : row + 2]
        for column, pane in zip(st.columns(len(pair)), pair, strict=True):
            with column, st.container(border=True):
                st.caption(f"{escape_markdown(pane.title)}, asked “{question}”")
                _answer(cache, pane, image, prompt, models)


def _answer(
    cache: LensCache, pane: Pane, image: InputImage, prompt: str, models: OfferedModels
) -> None:
    request = pane.spec, image, prompt, pane.ablations
    is_quick = is_demo(pane.spec.name) or not pane.result.device.startswith("cpu")
    is_cached = cache.cached_answer(*request) is not None
    if is_quick or is_cached or st.button("Ask", key=f"ask {pane.title}"):
        try:
            with st.spinner("Answering", show_time=True):
                answer = cache.answer(*request)
            _show(answer, image, prompt or DEFAULT_PROMPT)
        except LlavitLensError as error:
            st.error(escape_markdown(models.without_paths(str(error))))


def _show(answer: str, image: InputImage, question: str) -> None:
    if (scene := image.scene) is None:
        st.text(answer or "(nothing)", help=UNKNOWN)
        return
    judged = marked(scene, question, answer)
    if judged.is_marked:
        st.markdown(judged.markdown(), help=MARKED)
    else:
        st.text(answer or "(nothing)", help=NOT_COVERED)
