"""The parts of the page that Streamlit does not have: the view of the patches, and pasting.

Their HTML, CSS and JavaScript are constants of this package; words and names are sent as data and
shown as text only.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from importlib.resources import files
from typing import Any

import streamlit as st

from llavit_lens.explorer.encoded_payload import EncodedPayload
from llavit_lens.viewer.document import static
from llavit_lens.viewer.page import SCRIPTS

KEY, MOVING_KEY, PASTE_KEY = "explorer_view", "explorer_moving", "explorer_paste"
ABOUT_KEY, SHEET_KEY = "explorer_about", "explorer_sheet"
SENT = "explorer_view_sent"
"""Where the view was last sent: the identity of its words, the turn, the start."""
MOST_PASTED = 12 * 1024 * 1024
"""Bytes, as in paste.js, which sends no more."""


def _static(name: str) -> str:
    return (files(__package__) / "static" / name).read_text("utf-8")


_view = st.components.v2.component(
    "llavit_lens_explorer",
    html='<div class="llavit-explorer"></div>',
    css=static("style.css"),
    js=f"{static(*SCRIPTS)}\n{_static('component.js')}",
)
_moving = st.components.v2.component("llavit_lens_moving", js=_static("moving.js"))
_paste = st.components.v2.component(
    "llavit_lens_paste",
    html='<div class="llavit-paste">or paste one: Ctrl+V</div>',
    css=".llavit-paste { font: 0.85rem var(--st-font, sans-serif); opacity: 0.7; "
    "color: var(--st-text-color, inherit); }",
    js=_static("paste.js"),
)

_about = st.components.v2.component(
    "llavit_lens_about",
    html="""<div class="about">
      <p class="what">Every patch of the image is one visual token. Its word is the one that the
        model would say if it stopped at this layer (logit lens).</p>
      <ol class="steps" hidden>
        <li><b>Move the slider</b>: words form from layer to layer.</li>
        <li><b>Click a patch</b>: its words in all layers.</li>
        <li><b>Ask</b>: what the model answers.</li>
      </ol>
      <button type="button" hidden>Got it</button>
    </div>""",
    css=_static("about.css"),
    js=_static("about.js"),
)

_copy_link = st.components.v2.component(
    "llavit_lens_copy_link",
    html="""<div class="copy">
      <button type="button">Copy link</button><span role="status"></span>
    </div>""",
    css=_static("copy_link.css"),
    js=_static("copy_link.js"),
)


_sheet = st.components.v2.component(
    "llavit_lens_sheet",
    html='<div class="llavit-sheet"></div>',
    css=static("sheet.css"),
    js=f"{static('elements.js', 'sheet.js')}\n{_static('hit_sheet.js')}",
)


def show_sheet(tiles: list[dict[str, Any]], identity: str, on_hit: Callable[[], None]) -> None:
    """Mount a contact sheet.

    Args:
        tiles: see `sheet_tiles`.
        identity: of the search: the browser builds the sheet again when it changes.
        on_hit: called when the user has chosen a hit, which `chosen_hit` then gives.
    """
    _sheet(key=SHEET_KEY, data={"tiles": tiles, "identity": identity}, on_hit_change=on_hit)


def chosen_hit(identity: str, most: int) -> int | None:
    """The number of the hit that the user has chosen, in the callback of `show_sheet`; None for
    anything else that a browser may send, as of another search."""
    state = st.session_state.get(SHEET_KEY) or {}
    hit = state.get("hit")
    if not isinstance(hit, dict) or hit.get("identity") != identity:
        return None
    number = hit.get("number")
    return number if type(number) is int and 0 <= number < most else None


def show_copy_link(is_own: bool) -> None:
    """Mount the button that copies the page's address.

    Args:
        is_own: whether the page shows an image of the user's own, which no link holds.
    """
    _copy_link(key="explorer_copy_link", data={"isOwn": is_own})


def show_about(is_new: bool) -> None:
    """Mount the line that says what the page shows; in its place, three first steps, until the user
    has read them once in this browser.

    Args:
        is_new: whether the user may be new here.
    """
    _about(key=ABOUT_KEY, data={"isNew": is_new})


def show_view(
    words: EncodedPayload,
    start: dict[str, Any],
    search: dict[str, Any] | None,
    on_change: Callable[[], None],
) -> None:
    """Mount the view.

    It is two components: Streamlit sends all data of a component again if any of it changes, and
    `words` is large.

    Args:
        words: the browser builds the view again when they change.
        start: where the view starts, see `Start.payload`.
        search: see `search_payload`.
        on_change: called when the user has chosen something in the view, which `choice` then gives.
    """
    identity, turn, position = st.session_state.get(SENT, (None, 0, None))
    if identity == words.identity and (latest := choice()):
        position = {name: latest.get(name) for name in start}
    if identity != words.identity or position != start:
        # The browser is elsewhere and has to go there. Otherwise the last start is repeated, so
        # that the data stays the same, and Streamlit sends a reference instead.
        turn += 1
        st.session_state[SENT] = (words.identity, turn, start)
    last_start = st.session_state[SENT][2]
    _moving(
        key=MOVING_KEY,
        data={"identity": words.identity, "turn": turn, "start": last_start, "search": search},
    )
    _view(key=KEY, data=words.lines(), on_view_change=on_change)


def choice() -> dict[str, Any]:
    """What the user chose last in the view, as the browser sends it: it may be anything.

    Empty if that was before the page sent the view elsewhere.
    """
    state = st.session_state.get(KEY) or {}
    view = state.get("view")
    turn = st.session_state.get(SENT, (None, 0, None))[1]
    return dict(view) if isinstance(view, dict) and view.get("turn") == turn else {}


def show_paste(on_paste: Callable[[], None]) -> None:
    """Mount the line that says how to paste; `on_paste` is called after an image was pasted."""
    _paste(key=PASTE_KEY, on_picture_change=on_paste)


def pasted_bytes() -> bytes | None:
    """The bytes of a pasted image, in the callback of `show_paste`."""
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
