"""A figure that a notebook shows by itself: no magic, and pyplot is not needed."""

from __future__ import annotations

from io import BytesIO

from matplotlib.figure import Figure as MatplotlibFigure

WIDTH = 960
"""Pixels across the widest figure on a page, about as wide as a notebook's cells."""

_PER_INCH = 96  # pixels of a page, as browsers count
_SHARP = 2  # of the file for one of the page, for screens with small pixels
_TALLEST = 24_000  # pixels of the file; matplotlib ends at 65,536, browsers earlier


class Figure(MatplotlibFigure):
    """A matplotlib figure that brings its own PNG, so that it is seen as the last line of a cell.

    Attributes:
        caption: what the figure shows, or None; for those who save it, it is not drawn.
    """

    caption: str | None = None

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The PNG, and how large it is on the page; IPython calls this, unless `%matplotlib inline`
        has told it how it draws all figures."""
        width, height = self.get_size_inches()
        dpi = min(_SHARP * _PER_INCH, _SHARP * WIDTH / width, _TALLEST / height)
        png = BytesIO()
        self.savefig(png, format="png", dpi=dpi)
        pixels = {"width": width * dpi / _SHARP, "height": height * dpi / _SHARP}
        return png.getvalue(), {side: max(1, round(size)) for side, size in pixels.items()}
