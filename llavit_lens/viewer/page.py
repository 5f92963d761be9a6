"""The view as a page of one file, which needs no server and no network."""

from __future__ import annotations

import json
from html import escape
from importlib.resources import files
from typing import Any

SCRIPTS = (
    "elements.js",
    "data.js",
    "colors.js",
    "regions.js",
    "words.js",
    "paint.js",
    "patch_panel.js",
    "pane_view.js",
    "controls.js",
    "bars.js",
    "finder.js",
    "fit.js",
    "zoom.js",
    "keys.js",
    "linked.js",
    "explorer.js",
)
"""The view, in the order in which its parts need each other."""


def static(*names: str) -> str:
    """The text of files in `static/`, one after the other."""
    folder = files(__package__) / "static"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


_INTRODUCTION = """<header><h1>What a model reads in an image</h1>
<p>Each patch is one visual token. Its word is the one that the model would say if it stopped at \
this layer. Click a patch; move the slider. Made with llavit-lens.</p></header>
"""


def page_html(
    words: dict[str, Any],
    start: dict[str, Any],
    search: dict[str, Any] | None = None,
    *,
    introduction: bool = True,
) -> str:
    """A page of one file with the same view, without a server or a network.

    It holds the data as JSON without any `<`, so that no word can end the script element; words are
    shown as text only. The page's own policy forbids all connections.

    Args:
        words, search: see `words_payload` and `search_payload`.
        start: where the view starts: slot, pin, color, scale, labels (see static/explorer.js).
        introduction: whether the page says what it shows; not inside of another page.
    """
    data = json.dumps({"still": words, "start": start, "search": search}, separators=(",", ":"))
    data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    names = escape(" and ".join(pane["name"] for pane in words["panes"]))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>Words on patches: {names}</title>
<style>
{static("page.css", "style.css")}
</style>
</head>
<body{"" if introduction else ' class="inside"'}>
{_INTRODUCTION if introduction else ""}<main class="llavit-explorer"></main>
<script type="application/json" id="data">{data}</script>
<script type="module">
{static(*SCRIPTS, "offline.js")}
</script>
</body>
</html>
"""
