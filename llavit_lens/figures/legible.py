"""Model text made safe to draw: see `llavit_lens.token_text`."""

from __future__ import annotations

from llavit_lens.figures.fonts import can_draw
from llavit_lens.token_text import escape, printable
from llavit_lens.token_text import escaped as escaped


def drawable(text: str) -> str:
    """`printable(text)` where characters that no installed font has are escaped as well."""
    return "".join(c if can_draw(c) else escape(c) for c in printable(text))
