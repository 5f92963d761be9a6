"""Text from models, users and files, for Streamlit's calls that would read it as Markdown."""

from __future__ import annotations

import re

JOINER = "\u2060"
"""Joins two letters without a sign of its own: it is invisible, and no pattern runs across it."""
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
does not help: the end of each match is where a joiner has to stand."""


def plain(text: str) -> str:
    """`text` such that Markdown shows it as it is, on one line.

    Everything that could begin markup, a link, an image, a formula, HTML or one of Streamlit's
    directives (`:red[…]`) is escaped; web addresses, mail addresses and names of icons are broken
    by an invisible joiner.
    """
    joined = _LATE.sub(rf"\g<0>{JOINER}", " ".join(text.split()))
    return _MARKUP.sub(r"\\\1", joined)
