"""A page as part of another one, such as a notebook."""

from __future__ import annotations

from html import escape

from llavit_lens.viewer.image_url import data_url


def frame_html(page: str, still: bytes, height: int, title: str) -> str:
    """HTML with the page in an iframe that lies on a still image of it.

    The page runs its own scripts and can reach nothing of the page around it. Where iframes are
    taken away, as on GitHub and in notebooks that are not trusted, the image remains.

    Args:
        page: a whole HTML page.
        still: the image, a PNG file.
        height: of the page, in CSS pixels.
        title: what the page shows, for people who cannot see it.
    """
    # within single quotes, as JSON is full of double ones
    source = page.replace("&", "&amp;").replace("'", "&#39;")
    name = escape(title)
    return (
        f'<div style="position: relative; height: {height}px; overflow: hidden">'
        f'<img alt="{name}" src="{data_url(still, "png")}" style="max-height: 100%">'
        f'<iframe title="{name}" sandbox="allow-scripts" style="position: absolute; inset: 0; '
        f"width: 100%; height: 100%; border: 0; background: Canvas\" srcdoc='{source}'></iframe>"
        "</div>"
    )
