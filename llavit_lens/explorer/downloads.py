"""What a user can save: figures, tables, and a page that shows the view without a server."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from llavit_lens.explorer.input_image import InputImage
    from llavit_lens.explorer.lens_cache import LensResult
    from llavit_lens.images.layout import Tile

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
    "zoom.js",
    "keys.js",
    "linked.js",
    "explorer.js",
)
"""The view, in the order in which its parts need each other."""

_FORMULA = re.compile(r"\s*[=+\-@'＝＋－＠\x00-\x1f]")
"""Beginnings that some spreadsheet reads as more than text."""

TitledResults = Sequence[tuple[str, "LensResult"]]


def static(*names: str) -> str:
    """The text of files in `static/`, one after the other."""
    folder = files("llavit_lens.explorer") / "static"
    return "\n".join((folder / name).read_text("utf-8") for name in names)


def table(results: TitledResults) -> pd.DataFrame:
    """One row for each model, lens, layer, patch and rank."""
    import pandas as pd

    parts = []
    for title, result in results:
        for words in (result.similarity, result.words):
            part = words.to_pandas().drop(columns=["image", "model", "prompt"])
            part.insert(0, "model", title)
            part.insert(1, "lens", words.kind)
            parts.append(part)
    return pd.concat(parts, ignore_index=True)


def table_csv(results: TitledResults) -> bytes:
    """`table` for spreadsheets: text that they could take for a formula begins with an apostrophe.

    Text that begins with an apostrophe itself gets another one, so that nothing is lost.
    """
    whole = table(results)
    for name in ("model", "word"):
        whole[name] = [f"'{text}" if _FORMULA.match(text) else text for text in whole[name]]
    # all words in quotes: pandas leaves a lone carriage return, which is a token, without them
    return whole.to_csv(index=False, quoting=csv.QUOTE_NONNUMERIC).encode()


def words_files(results: TitledResults, lens: str) -> bytes:
    """What `Words.load` reads: of one result its Parquet file, of two a ZIP archive of both.

    Args:
        results: one or two.
        lens: "words" or "similarity", as in `LensResult`.
    """
    with TemporaryDirectory(prefix="llavit-lens-") as folder:
        paths = []
        for number, (title, result) in enumerate(results, 1):
            name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:60]
            paths.append(Path(folder) / f"{number}-{name}.parquet")
            getattr(result, lens).save(paths[-1])
        if len(paths) == 1:
            return paths[0].read_bytes()
        buffer = io.BytesIO()
        with ZipFile(buffer, "w") as archive:  # Parquet is compressed already
            for path in paths:
                archive.write(path, path.name)
        return buffer.getvalue()


def figure(
    results: TitledResults, image: InputImage, layer: int, kind: str, *, tile: Tile = 0
) -> bytes:
    """The image with its words at one layer (-1: the input similarity), as PNG or PDF."""
    from llavit_lens.figures.panels import draw_word_panels
    from llavit_lens.lens.matching import matched_layer

    rows = []
    for title, result in results:
        number = matched_layer(max(layer, 0), results[0][1].depth, result.depth)
        words = result.similarity if layer < 0 else result.words
        rows.append((title, [(words, number)]))
    truth = truth_of(image, results)
    panels = draw_word_panels(rows, image.display, truth=truth, tile=tile)
    buffer = io.BytesIO()
    panels.savefig(buffer, format=kind)
    return buffer.getvalue()


def page(words: dict[str, Any], start: dict[str, Any], search: dict[str, Any] | None) -> str:
    """A page of one file with the same view, without a server or a network.

    It holds the data as JSON without any `<`, so that no word can end the script element; words are
    shown as text only. The page's own policy forbids all connections.

    Args:
        words, search: see `words_payload` and `search_payload`.
        start: see `Start.payload`.
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
<body>
<header><h1>What a model reads in a picture</h1>
<p>Each patch is one visual token. Its word is the one that the model would say if it stopped at \
this layer. Click a patch; move the slider. Made with llavit-lens.</p></header>
<main class="llavit-explorer"></main>
<script type="application/json" id="data">{data}</script>
<script type="module">
{static(*SCRIPTS, "offline.js")}
</script>
</body>
</html>
"""


def truth_of(image: InputImage, results: TitledResults) -> Sequence[Collection[str] | None] | None:
    """The true words of each patch, if all results have the same patches."""
    layouts = [result.words.layout for _, result in results]
    same = all(np.array_equal(layout.boxes, layouts[0].boxes) for layout in layouts)
    return image.truth(layouts[0]) if same else None
