"""What a notebook shows of an object: a card of plain HTML, small, and readable on any background.

All texts and names are escaped. There is no style sheet and no script, so the card looks the same
in JupyterLab, VS Code and Colab, and most of it stays where a page is cleaned, as on GitHub.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    import pandas as pd

MOST_CHARACTERS = 390_000
"""Of an image, as it stands in the notebook's file."""

_TALLEST = 16_000  # pixels; the format ends at 16,383

_QUIET = "opacity: 0.75"  # of the text's own color, which is light in a dark notebook


def card(title: str, *parts: str) -> str:
    """HTML of an object: one line that names it, and parts made by the functions below."""
    return f"<div><div><b>{escape(title)}</b></div>{''.join(parts)}</div>"


def remark(text: str) -> str:
    """A sentence about what is seen."""
    return f'<div style="{_QUIET}">{escape(text)}</div>'


def facts(values: Mapping[str, object]) -> str:
    """Names and values, one to a line."""
    cell = "text-align: left; padding: 1px 14px 1px 0"
    rows = (
        f'<tr><td style="{cell}; {_QUIET}">{escape(name)}</td>'
        f'<td style="{cell}">{escape(str(value))}</td></tr>'
        for name, value in values.items()
    )
    return f'<table style="margin: 6px 0">{"".join(rows)}</table>'


def to_type(code: Mapping[str, str]) -> str:
    """Lines of Python that can come next, and what each is for."""
    width = max(map(len, code))
    lines = (f"{line:<{width}}  # {purpose}" for line, purpose in code.items())
    return f"<pre>{escape(chr(10).join(lines))}</pre>"


def table(frame: pd.DataFrame, rows: int = 10, columns: int = 8) -> str:
    """The ends of a table, of at most so many rows and columns."""
    return frame.to_html(max_rows=rows, max_cols=columns, border=0, show_dimensions=True)


def picture(image: Image.Image, width: int = 320, name: str = "") -> str:
    """An image, so many pixels wide on the page, in twice as many where it has them.

    `name` is for people who cannot see it.

    It is kept as WebP: a third of the size of a PNG, and no difference that an eye sees.
    """
    smaller = image.convert("RGB")
    smaller.thumbnail((2 * width, _TALLEST))
    while True:
        file = BytesIO()
        smaller.save(file, "WEBP", quality=90)
        if len(data := b64encode(file.getvalue()).decode("ascii")) <= MOST_CHARACTERS:
            break
        smaller = smaller.reduce(2)
    return (
        f'<img src="data:image/webp;base64,{data}" width="{width}" alt="{escape(name)}" '
        'style="max-width: 100%; height: auto">'
    )
