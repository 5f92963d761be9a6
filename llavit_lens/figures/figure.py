"""A figure that a notebook shows by itself: no magic, and pyplot is not needed."""

from __future__ import annotations

from io import BytesIO
from pathlib import PurePath
from typing import Any

from matplotlib import rcParams
from matplotlib.figure import Figure as MatplotlibFigure
from PIL import Image

WIDTH = 960
"""Pixels across the widest figure on a page, about as wide as a notebook's cells."""

_PER_INCH = 96  # pixels of a page, as browsers count
_SHARPNESS = (2, 1.5, 1)  # pixels of the file for one of the page: screens may have small ones
_MOST_BYTES = 300_000  # of a file; one that is larger is made less sharp
_TALLEST = 24_000  # pixels of the file; matplotlib ends at 65,536, browsers earlier
_FIELDS = {
    "png": ("Title", "Description"),
    "pdf": ("Title", "Subject"),
    "svg": ("Title", "Description"),
}
"""What formats call the title and the caption in their metadata."""


class Figure(MatplotlibFigure):
    """A matplotlib figure that brings its own PNG, so that it is seen as the last line of a cell.

    Attributes:
        title: what is seen, in a few words, or None.
        caption: what was measured, on what, and how to read it, or None. It is not drawn: a PNG,
            PDF or SVG that is saved holds it, and the title, in its metadata.
    """

    title: str | None = None
    caption: str | None = None

    def savefig(self, fname: Any, **options: Any) -> None:
        """As matplotlib's, with title and caption in the file; `metadata` of the caller wins."""
        named = PurePath(fname).suffix if isinstance(fname, (str, PurePath)) else ""
        kind = (options.get("format") or named or rcParams["savefig.format"]).lower().lstrip(".")
        if kind in _FIELDS:
            texts = zip(_FIELDS[kind], (self.title, self.caption), strict=True)
            fields = {field: text for field, text in texts if text}
            options["metadata"] = fields | (options.get("metadata") or {})
        super().savefig(fname, **options)

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The PNG, and how large it is on the page; IPython calls this, unless `%matplotlib inline`
        has told it how it draws all figures."""
        width, height = self.get_size_inches()
        dpi = min(_PER_INCH, WIDTH / width, _TALLEST / _SHARPNESS[0] / height)
        size = {"width": max(1, round(width * dpi)), "height": max(1, round(height * dpi))}
        png = BytesIO()
        self.savefig(png, format="png", dpi=_SHARPNESS[0] * dpi)
        with Image.open(png) as drawn:
            for sharpness in _SHARPNESS[1:]:
                if len(png.getvalue()) <= _MOST_BYTES:
                    break
                png = BytesIO()
                pixels = round(sharpness * size["width"]), round(sharpness * size["height"])
                drawn.convert("RGB").resize(pixels, Image.Resampling.LANCZOS).save(png, "PNG")
        return png.getvalue(), size
