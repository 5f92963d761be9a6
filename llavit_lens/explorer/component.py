"""The parts of the page that Streamlit does not have: the view of the patches, and pasting.

Their HTML, CSS and JavaScript are constants of this package; words and names travel as data and are
shown as text only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import streamlit as st

from llavit_lens.explorer.downloads import SCRIPTS, static

KEY, MOVING_KEY, PASTE_KEY = "explorer_view", "explorer_moving", "explorer_paste"
STANDS = "explorer_view_stands"
"""Where the view was last sent: the identity of its words, the turn, the start."""
MOST_PASTED = 12 * 1024 * 1024
"""Bytes, as in paste.js, which sends no more."""

_view = st.components.v2.component(
    "llavit_lens_explorer",
    html='<div class="llavit-explorer"></div>',
    css=static("style.css"),
    js=static(*SCRIPTS, "component.js"),
)
_moving = st.components.v2.component("llavit_lens_moving", js=static("moving.js"))
_paste = st.components.v2.component(
    "llavit_lens_paste",
    html='<div class="llavit-paste">or paste one: Ctrl+V</div>',
    css=".llavit-paste { font: 0.85rem var(--st-font, sans-serif); opacity: 0.7; "
    "color: var(--st-text-color, inherit); }",
    js=static("paste.js"),
)


def show_view(still: bytes, moving: dict[str, Any], chosen: Callable[[], None]) -> None:
    """Mount the view.

    It is two components: Streamlit sends the data of one anew if any of it changes, and `still` is
    large.

    Args:
        still: `payload.encoded`: the browser builds the view anew when it changes.
        moving: where to start, and the search.
        chosen: called when a person has chosen something in the view; `choice` then has it.
    """
    identity, _, body = still.partition(b"\n")
    start = moving["start"]
    known, turn, stands = st.session_state.get(STANDS, (None, 0, None))
    if known == identity and (said := choice()):
        stands = {name: said.get(name) for name in start}
    if known != identity or stands != start:
        # Elsewhere than where the browser is: it has to go there. Else the start that it was given
        # is repeated, so that the data stays the same and Streamlit sends a reference in its place.
        turn += 1
        st.session_state[STANDS] = (identity, turn, start)
    given = st.session_state[STANDS][2]
    _moving(
        key=MOVING_KEY,
        data={
            "identity": identity.decode(),
            "turn": turn,
            "start": given,
            "search": moving["search"],
        },
    )
    _view(key=KEY, data=identity + b"\n" + body.rstrip(b"\n"), on_view_change=chosen)


def choice() -> dict[str, Any]:
    """What the person chose last in the view, as the browser tells it: not to be trusted.

    Empty if that was before the page sent the view elsewhere.
    """
    state = st.session_state.get(KEY) or {}
    view = state.get("view")
    turn = st.session_state.get(STANDS, (None, 0, None))[1]
    return dict(view) if isinstance(view, dict) and view.get("turn") == turn else {}


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
