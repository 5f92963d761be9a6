"""The user's own image: uploaded or pasted, checked, and kept for the session."""

from __future__ import annotations

import streamlit as st

from llavit_lens.errors import LlavitLensError
from llavit_lens.explorer import component, session, uploads
from llavit_lens.explorer.image_store import ImageStore, StoredImage
from llavit_lens.explorer.input_image import InputImage, Limits, uploaded_image
from llavit_lens.explorer.view import OWN
from llavit_lens.miniature.world.scenes import FIRST_EXAMPLE

OWN_IMAGE, UPLOAD_FAULT = "own_image", "upload_fault"
"""The session's `StoredImage`; what is wrong with the file in the uploader."""
_PREVIOUS = "previous_image"
"""The `StoredImage` that was there before a file was taken out of the uploader."""


@st.cache_resource(show_spinner=False)
def _image_store() -> ImageStore:
    return ImageStore()


def own_image() -> InputImage | None:
    """The image that the user uploaded or pasted, if any.

    Raises:
        ImageError: it had to make room for those of others.
    """
    stored: StoredImage | None = st.session_state.get(OWN_IMAGE)
    return None if stored is None else _image_store().get(stored)


def on_upload(limits: Limits) -> None:
    """A file was chosen in the uploader, or taken out of it."""
    file = st.session_state["upload"]
    fault = st.session_state.pop(UPLOAD_FAULT, None)
    if file is None:
        if fault is None and st.session_state["picture"] == OWN:
            st.session_state["picture"] = FIRST_EXAMPLE
            st.session_state[_PREVIOUS] = st.session_state.pop(OWN_IMAGE, None)
            session.clear_patch()
        return
    # a browser that replaces a file takes the old one out first, and the new one may be no image
    previous = st.session_state.pop(_PREVIOUS, None)
    fault = _show(uploads.take_bytes(file), file.name, limits)
    if fault is not None:
        st.session_state[UPLOAD_FAULT] = fault
        if previous is not None:
            st.session_state[OWN_IMAGE] = previous
            st.session_state["picture"] = OWN


def on_paste(limits: Limits) -> None:
    """An image was pasted."""
    if (data := component.pasted_bytes()) is not None:
        fault = _show(data, "the pasted image", limits)
        if fault is not None:
            st.session_state[session.WARNINGS] = [*st.session_state[session.WARNINGS], fault]


def _show(data: bytes, name: str, limits: Limits) -> str | None:
    """Show an image from outside; the result says what is wrong with it."""
    try:
        image = uploaded_image(data, name, limits)
    except LlavitLensError as error:
        return str(error)
    st.session_state[OWN_IMAGE] = _image_store().put(image)
    st.session_state["picture"] = OWN
    session.clear_patch()
    return None
