"""What a user can save: figures and tables."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from zipfile import ZipFile

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from llavit_lens.explorer.input_image import InputImage
    from llavit_lens.explorer.lens_cache import LensResult
    from llavit_lens.images.layout import Tile

_FORMULA = re.compile(r"\s*[=+\-@'＝＋－＠\x00-\x1f]")
"""Beginnings that some spreadsheet reads as more than text."""

TitledResults = Sequence[tuple[str, "LensResult"]]


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
    results: TitledResults, image: InputImage, layer: int, kind: str, *, tile: Tile | None = None
) -> bytes:
    """The image with its words at one layer (-1: the input similarity), as PNG or PDF."""
    from llavit_lens.figures.panels import draw_word_panels
    from llavit_lens.results.matching import matched_layer

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


def truth_of(image: InputImage, results: TitledResults) -> Sequence[Collection[str] | None] | None:
    """The true words of each patch, if all results have the same patches."""
    layouts = [result.words.layout for _, result in results]
    same = all(np.array_equal(layout.boxes, layouts[0].boxes) for layout in layouts)
    return image.truth(layouts[0]) if same else None
