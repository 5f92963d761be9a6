"""The left side of the page: the image, the models and how they are loaded, interventions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from llavit_lens.explorer import component, own_image, session
from llavit_lens.explorer.input_image import LOCAL, PUBLIC, example_title
from llavit_lens.explorer.offered_models import OfferedModels
from llavit_lens.explorer.view import MOST_WORDS, OWN, needs_two_models, number_in_corpus
from llavit_lens.explorer.wording import escape_markdown
from llavit_lens.inputs import is_demo
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE, example_names

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16", "float16")
_WHY_FIRST = (
    f"The page opens on “{example_title(FIRST_EXAMPLE)}” because both demo models do best on it: "
    "of all example scenes their captions have the fewest faults there. Try “house, grapes, stop, "
    "robot” for failures."
)
_TYPES = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif"]


def show_sidebar(models: OfferedModels) -> DeltaGenerator:
    """Image, models, device, words; the session's state holds what the user chooses.

    Where interventions are chosen, these have the room: the rest is folded away, and its titles say
    what was chosen.

    Returns:
        The place of the interventions.
    """
    mode = st.session_state["mode"]
    folded = mode == "ablate"
    with st.sidebar:
        title = f"Image: {_image_title(st.session_state['picture'])}" if folded else "Image"
        with st.expander(escape_markdown(title), expanded=not folded):
            _show_image_choice(models)
        two = needs_two_models(mode, st.session_state["pair"])
        title = "Models" if two else "Model"
        if folded:
            keys = ("other", "model") if two else ("model",)
            title += f": {' and '.join(models.short_title(st.session_state[key]) for key in keys)}"
        is_open = not folded or bool(st.session_state[session.PENDING])
        with st.expander(escape_markdown(title), expanded=is_open):
            _show_model_choice(models, two, mode)
        interventions = st.container(key="interventions")
        if is_demo(st.session_state["model"]):
            st.caption(
                "The demo models are **miniatures**: a few million weights, trained on drawn "
                "scenes. They show how the lens works; they are not the models of the paper."
            )
    return interventions


def _image_title(name: str) -> str:
    if (number := number_in_corpus(name)) is not None:
        return f"image {number} of the corpus"
    return "your own image" if name == OWN else example_title(name)


def _show_image_choice(models: OfferedModels) -> None:
    own = [OWN] if own_image.OWN_IMAGE in st.session_state else []
    if number_in_corpus(picture := st.session_state["picture"]) is not None:
        own.append(picture)
    st.selectbox(
        "Example scene" if not own else "Image",
        [*own, *example_names()],
        key="picture",
        format_func=_image_title,
        on_change=session.clear_patch,
        help=_WHY_FIRST,
    )
    limits = PUBLIC if models.public else LOCAL
    st.file_uploader(
        "Your own image",
        type=_TYPES,
        key="upload",
        on_change=own_image.on_upload,
        args=(limits,),
        max_upload_size=limits.max_bytes // 2**20,
    )
    if (fault := st.session_state.get(own_image.UPLOAD_FAULT)) is not None:
        st.error(escape_markdown(fault))
    component.show_paste(partial(own_image.on_paste, limits))
    if limits.max_side is not None:
        st.caption(
            f"Up to {limits.max_pixels // 10**6} million pixels. What is longer than "
            f"{limits.max_side} is scaled down first."
        )


def _show_model_choice(models: OfferedModels, two: bool, mode: str) -> None:
    if two:
        _model("The first" if mode == "ablate" else "On the left", "other", models)
    second = "The second" if mode == "ablate" else "On the right"
    _model(second if two else "Model", "model", models)
    if not models.public:
        st.caption(
            "Choose one, or type a folder or a name on the Hugging Face Hub such as "
            "llava-hf/llava-1.5-7b-hf."
        )
    with st.popover("Words" if models.public else "Device, precision, words"):
        if not models.public:  # each choice is one more model in memory
            st.selectbox("Device", DEVICES, key="device")
            st.selectbox("Precision", DTYPES, key="dtype")
        st.slider("Words of each patch", 1, MOST_WORDS, key="k")


def _model(label: str, key: str, models: OfferedModels) -> None:
    model = st.session_state[key]
    options = models.names if model in models.names else (*models.names, model)
    st.selectbox(
        label,
        options,
        key=key,
        format_func=models.short_title,
        accept_new_options=not models.public,
        on_change=session.on_model_change,
        args=(key,),
    )
    if (pending := st.session_state[session.PENDING].get(key)) is not None:
        name = escape_markdown(pending)
        of_corpus = number_in_corpus(st.session_state["picture"]) is not None
        asks = "This corpus was read by the model" if of_corpus else "This link asks for the model"
        st.warning(f"{asks} {name}.")
        st.button(f"Load {name}", key=f"load_{key}", on_click=session.accept_model, args=(key,))
        st.button("Leave it", key=f"decline_{key}", on_click=session.decline_model, args=(key,))
