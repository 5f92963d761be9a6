"""The left side of the page: which picture, which models, how they are loaded."""

from __future__ import annotations

from functools import partial

import streamlit as st

from llavit_lens.explorer import component, state
from llavit_lens.explorer.choices import Offer
from llavit_lens.explorer.pictures import LOCAL, PUBLIC, example_names, title
from llavit_lens.explorer.plain import plain
from llavit_lens.explorer.view import MOST_WORDS, OWN

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16", "float16")
_TYPES = ["png", "jpg", "jpeg", "webp", "gif", "bmp", "tif", "tiff", "avif"]


def show_sidebar(offer: Offer) -> None:
    """Picture, models, words; what is chosen lies in the session's state."""
    with st.sidebar:
        st.header("Picture", anchor=False)
        own = [OWN] if state.OWN_PICTURE in st.session_state else []
        st.selectbox(
            "Example scene" if not own else "Picture",
            [*own, *example_names()],
            key="picture",
            format_func=lambda name: "your own picture" if name == OWN else title(name),
            on_change=state.forget_patch,
        )
        limits = PUBLIC if offer.public else LOCAL
        st.file_uploader(
            "Your own picture",
            type=_TYPES,
            key="upload",
            on_change=state.take_upload,
            args=(limits,),
            max_upload_size=limits.bytes // 2**20,
        )
        if (fault := st.session_state.get(state.UPLOAD_FAULT)) is not None:
            st.error(plain(fault))
        component.show_paste(partial(state.take_paste, limits))
        if limits.side is not None:
            st.caption(
                f"Up to {limits.pixels // 10**6} million pixels. What is longer than "
                f"{limits.side} is scaled down first."
            )

        mode, pair = st.session_state["mode"], st.session_state["pair"]
        compared = mode == "compare" or (mode == "ablate" and pair != "one")
        st.header("Models" if compared else "Model", anchor=False)
        if compared:
            _model("The first" if mode == "ablate" else "On the left", "other", offer)
        second = "The second" if mode == "ablate" else "On the right"
        _model(second if compared else "Model", "model", offer)
        if not offer.public:
            st.caption(
                "Choose one, or type a folder or a name on the Hugging Face Hub such as "
                "llava-hf/llava-1.5-7b-hf."
            )
        with st.expander("Words" if offer.public else "Device, precision, words"):
            if not offer.public:  # each of them is one more model in memory
                st.selectbox("Device", DEVICES, key="device")
                st.selectbox("Precision", DTYPES, key="dtype")
            st.slider("Words of each patch", 1, MOST_WORDS, key="k")
        if st.session_state["model"].startswith("demo:"):
            st.caption(
                "The demo models are **miniatures**: a few million weights, trained in minutes on "
                "drawn scenes. They show how the lens works; they are not the models of the paper."
            )


def _model(label: str, key: str, offer: Offer) -> None:
    chosen = st.session_state[key]
    options = offer.names if chosen in offer.names else (*offer.names, chosen)
    st.selectbox(
        label,
        options,
        key=key,
        format_func=offer.title,
        accept_new_options=not offer.public,
        on_change=state.take_model,
        args=(key,),
    )
    if (asked := st.session_state[state.PENDING].get(key)) is not None:
        st.warning(f"This link asks for the model {plain(asked)}.")
        st.button(f"Load {plain(asked)}", key=f"load_{key}", on_click=state.agree, args=(key,))
        st.button("Leave it", key=f"decline_{key}", on_click=state.decline, args=(key,))
