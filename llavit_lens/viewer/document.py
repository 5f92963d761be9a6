"""A web page of one file, which needs no server and no network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any


def static(*names: str) -> str:
    """The text of files in `static/`, one after the other."""
    folder = files(__package__) / "static"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


def document(
    title: str,
    body: str,
    data: dict[str, Any],
    *,
    styles: Sequence[str],
    scripts: Sequence[str],
    kind: str = "",
) -> str:
    """The page. It holds its data as JSON without any `<`, so that no word can end the script
    element, and its own policy forbids all connections.

    Args:
        title: plain text.
        body: HTML, before the scripts.
        data: what the scripts show; texts are to be shown as text only.
        styles, scripts: files in `static/`, in the order in which they need each other.
        kind: class of the body.
    """
    held = json.dumps(data, separators=(",", ":"))
    held = held.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; \
style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{escape(title)}</title>
<style>
{static(*styles)}
</style>
</head>
<body{f' class="{kind}"' if kind else ""}>
{body}
<script type="application/json" id="data">{held}</script>
<script type="module">
{static(*scripts)}
</script>
</body>
</html>
"""
