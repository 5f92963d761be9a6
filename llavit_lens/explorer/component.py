"""The two parts of the page that Streamlit does not have: the view of the patches, and pasting.

Their HTML, CSS and JavaScript are constants of this package; words and names travel as data and are
shown as text only.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable
from typing import Any

import streamlit as st

from llavit_lens.explorer.downloads import SCRIPTS, static

KEY, PASTE_KEY = "explorer_view", "explorer_paste"
STARTED = "explorer_view_started"
MOST_PASTED = 12 * 1024 * 1024
"""Bytes, as in paste.js, which sends no more."""

_view = st.components.v2.component(
    "llavit_lens_explorer",
    html='<div class="llavit-explorer"></div>',
    css=static("style.css"),
    js=static(*SCRIPTS, "component.js"),
)
_paste = st.components.v2.component(
    "llavit_lens_paste",
    html='<div class="llavit-paste">or paste one: Ctrl+V</div>',
    css=".llavit-paste { font: 0.85rem var(--st-font, sans-serif); opacity: 0.7; "
    "color: var(--st-text-color, inherit); }",
    js=static("paste.js"),
)


def show_view(still: bytes, moving: dict[str, Any], chosen: Callable[[], None]) -> None:
    """Mount the view.

    Args:
        still: `payload.encoded`: the browser builds the view anew when it changes.
        moving: where to start, and the search.
        chosen: called when a person has chosen a layer, patch or color; `choice` then has it.
    """
    # While the words stay, the browser knows better where it is. The start it was first given is
    # repeated, so that the data stays the same and Streamlit sends a reference in its place.
    identity = still.partition(b"\n")[0]
    started = st.session_state.get(STARTED)
    if started is None or started[0] != identity:
        started = st.session_state[STARTED] = (identity, moving["start"])
    moving = {**moving, "start": started[1]}
    data = still + json.dumps(moving, separators=(",", ":")).encode()
    _view(key=KEY, data=data, on_view_change=chosen)


def choice() -> dict[str, Any]:
    """What the person chose last in the view, as the browser tells it: not to be trusted."""
    state = st.session_state.get(KEY) or {}
    view = state.get("view")
    return dict(view) if isinstance(view, dict) else {}


def show_paste(pasted: Callable[[], None]) -> None:
    """Mount the line that says how to paste; `pasted` is called when somebody did."""
    _paste(key=PASTE_KEY, on_picture_change=pasted)


def pasted_bytes() -> bytes | None:
    """The bytes of a pasted picture, in the callback of `show_paste`."""
    state = st.session_state.get(PASTE_KEY) or {}
    url = state.get("picture")
    if not isinstance(url, str) or not url.startswith("data:image/"):
        return None
    try:
        if len(url) > MOST_PASTED * 4 // 3 + 100:  # before it is in memory twice
            return b""
        return base64.b64decode(url.partition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        return b""
