"""Text of the page that Markdown leaves as it is."""

from __future__ import annotations

import re

CUT = "…"
"""At the end of an answer that would go on."""
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
