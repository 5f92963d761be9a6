"""The page's style sheet: how Streamlit's parts are arranged around the view."""

from __future__ import annotations

from importlib.resources import files

_HEIGHTS = {"look": 23.5, "compare": 26, "ablate": 27.5, "corpus": 23.5}
"""For each mode what the window holds beside the image: rem, in a window of normal width."""

_STYLE = (files(__package__) / "static" / "page.css").read_text("utf-8")


def css(mode: str) -> str:
    """The style sheet, as an element of HTML: a constant for each mode, so that no text of a user
    or a model is ever shown as HTML."""
    height = f":root {{ --llavit-image-height: calc(100vh - {_HEIGHTS[mode]}rem); }}"
    if mode == "ablate":  # the room is for the effects
        height += " .st-key-explorer_about { display: none; }"
    return f"<style>{_STYLE}\n@media (min-width: 641px) {{ {height} }}</style>"
