"""Text from models, users and files, for Streamlit's calls that would read it as Markdown."""

from __future__ import annotations

import re

_MARKUP = re.compile(r"([\\`*_{}\[\]()<>#+\-.!|~$:&])")


def plain(text: str) -> str:
    """`text` such that Markdown shows it as it is, on one line.

    Everything that could begin markup, a link, an image, a formula, HTML or one of Streamlit's
    directives (`:red[…]`) is escaped.
    """
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))
