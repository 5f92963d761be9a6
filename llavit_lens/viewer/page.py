"""The view as a page of one file, which needs no server and no network."""

from __future__ import annotations

from typing import Any

from llavit_lens.viewer.document import document

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

    Args:
        words, search: see `words_payload` and `search_payload`.
        start: where the view starts: slot, pin, color, scale, labels (see static/explorer.js).
        introduction: whether the page says what it shows; not inside of another page.
    """
    names = " and ".join(pane["name"] for pane in words["panes"])
    return document(
        f"Words on patches: {names}",
        f'{_INTRODUCTION if introduction else ""}<main class="llavit-explorer"></main>',
        {"still": words, "start": start, "search": search},
        styles=("page.css", "style.css"),
        scripts=(*SCRIPTS, "offline.js"),
        kind="" if introduction else "inside",
    )
