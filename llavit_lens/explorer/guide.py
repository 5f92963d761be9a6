"""The page's name, and its help: what its words mean, its keys, and where to read more."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, metadata

import streamlit as st

from llavit_lens.explorer.choices import EQ_5, EQ_8

TITLE = (
    '<div class="llavit-title"><span class="llavit-logo"></span><b>llavit-lens</b>'
    "<h1>What does the model read in the image?</h1></div>"
)
PAPER = "https://arxiv.org/abs/2511.10301"
DOCS = "docs/"
"""Folder of the documents in the repository."""
_TERMS = {
    "Image patch, visual token": "The model cuts the image into a grid of patches. Each becomes "
    "one token for the language model: a visual token.",
    "Layer": "The language model changes each token layer by layer. Layer 0 of the slider is what "
    "the projector puts in; the last layer is what comes out.",
    "Logit lens": "The word that the model would say at a patch if it stopped at this layer: its "
    "hidden state goes through the model's own output head. The model is not trained to say words "
    "at patches, so they show what a patch holds, not what it answers.",
    "cos (Eq. 4)": "Before the first layer: the word embeddings that are nearest to the visual "
    "token, by cosine.",
    "Eq. 5": EQ_5.removeprefix("Eq. 5: "),
    "Eq. 8": EQ_8.removeprefix("Eq. 8: "),
    "LLaViT": "The paper's model: a LLaVA in which visual tokens have their own projections "
    "(Eq. 6) and see each other in both directions (Eq. 8).",
    "Certainty, entropy": "How surely one word leads. 0 nats: one word has all the probability.",
}
_KEYS = {
    "Arrow keys": "move the pinned patch",
    "Page up, page down": "next and previous layer",
    "Space": "play through the layers",
    "+, −, 0": "zoom in, zoom out, whole image (also Ctrl + wheel, pinch, double-click)",
    "Escape": "unpin",
}


def show_help() -> None:
    """The button that opens the help."""
    with st.popover("Help", icon=":material/help:"):
        st.markdown("**Words of this page**")
        st.markdown("\n".join(f"- **{term}.** {meaning}" for term, meaning in _TERMS.items()))
        st.markdown("**Keys**, while the image has the focus (click it, or Tab)")
        st.markdown("\n".join(f"- **{key}**: {what}" for key, what in _KEYS.items()))
        st.markdown(f"**Read more**: {_links(repository())}")


def repository() -> str | None:
    """Address of the repository, if the installed package names one."""
    try:
        entries = metadata("llavit-lens").get_all("Project-URL") or []
    except PackageNotFoundError:
        return None
    named = (entry.partition(",") for entry in entries)
    urls = {name.strip().lower(): url.strip() for name, _, url in named}
    return next((urls[name] for name in ("repository", "source", "homepage") if name in urls), None)


def _links(address: str | None) -> str:
    paper = f"[the paper]({PAPER})"
    if address is None:
        return f"{paper}; recipes and results in the folder `{DOCS}` of the repository."
    address = address.rstrip("/")
    return f"{paper}; [documents]({address}/tree/main/{DOCS}); [repository]({address})"
