"""Text of the page: patches in words, and text that Markdown leaves as it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llavit_lens.images.layout import VisualLayout

JOINER = "\u2060"
"""An invisible sign between two letters: no pattern of Markdown runs across it."""
_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")
_LATE = re.compile(
    r"""
    : (?= / | [\w+-]+ [:/] )         # https://…, :smile:, :material/…:
    | www (?= \. )                    # www.…
    | (?<= [-.\w+] ) @ (?= [-\w] )    # name@host
    | (?<! \S ) [<>~-] (?= [=>-]{1,2} (?! \S ) )  # arrows and dashes of two signs
    """,
    re.VERBOSE | re.IGNORECASE,
)
"""What the page turns into links, icons and other signs after Markdown is read, so that a backslash
does not help: a joiner goes to the end of each match."""


def escape_markdown(text: str) -> str:
    """`text` such that Markdown shows it as it is, on one line.

    Everything that could begin markup, a link, an image, a formula, HTML or one of Streamlit's
    directives (`:red[…]`) is escaped; web addresses, mail addresses and names of icons are broken
    by an invisible joiner.
    """
    joined = _LATE.sub(rf"\g<0>{JOINER}", " ".join(text.split()))
    return _MARKUP.sub(r"\\\1", joined)


def shortened(text: str, most: int = 40) -> str:
    """A text of at most `most` characters; of a longer one the beginning and an ellipsis."""
    return text if len(text) <= most else f"{text[:most]}…"


def patch_name(layout: VisualLayout, patch: int) -> str:
    """Such as "row 3, column 5", with the tile if there are several (`patchName` in data.js)."""
    row, col, tile = (int(axis[patch]) for axis in (layout.row, layout.col, layout.tile))
    cell = f"row {row}, column {col}"
    if len(layout.grid) == 1:
        return cell
    return f"{cell}, tile {tile}" if tile else f"{cell}, whole picture"
