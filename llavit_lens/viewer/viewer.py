"""The view of words on an image, for a notebook, a file or any page."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from llavit_lens.disk import write_atomically
from llavit_lens.errors import ConfigurationError, install
from llavit_lens.viewer.frame import frame_html
from llavit_lens.viewer.page import page_html

if TYPE_CHECKING:
    from llavit_lens.figures.figure import Figure
    from llavit_lens.viewer.widget import ViewWidget


class SelectedPatch(NamedTuple):
    """The pinned patch at the layer that is shown: `words.at(*viewer.selected)` gives its words.
    Of two models the first one's."""

    layer: int
    row: int
    col: int
    tile: int


@dataclass(frozen=True, eq=False, repr=False)
class Viewer:
    """Words on their image, to look at: hover, click, search, move through the layers.

    In a notebook it shows itself as a page within the page, which holds all it needs: it works in
    a saved notebook too, without a kernel. Where such pages are not allowed, as on GitHub, there is
    a still image in its place.

    Attributes:
        title: what is shown, in one line.
        view: the words, as JSON (see `payload.words_payload`).
        start: where the view starts.
        height: in a notebook, in CSS pixels.
        still: draws the still image.
        widget: with `live=True` the anywidget whose trait `selected` changes with every click:
            `viewer.widget.observe(function, "selected")`. Otherwise None.
    """

    title: str
    view: dict[str, Any]
    start: dict[str, Any]
    height: int
    still: Callable[[], Figure] = field()
    widget: ViewWidget | None = None

    @property
    def selected(self) -> SelectedPatch | None:
        """The patch that the user has pinned; None: none is pinned.

        Raises:
            ConfigurationError: the view is not live, so no click comes back to Python.
        """
        if self.widget is None:
            raise ConfigurationError(
                "a click in this view does not come back to Python: make the view with live=True, "
                f"which needs a running notebook and anywidget ({install('notebook')})"
            )
        place = self.widget.selected
        return None if place is None else SelectedPatch(*place)

    def to_html(self) -> str:
        """The view as a page of one file, for any browser, without a network."""
        return page_html(self.view, self.start)

    def save(self, path: str | Path) -> None:
        """Write `to_html` to a file.

        Raises:
            ConfigurationError: the name does not end in .html, or the file cannot be written.
        """
        if not isinstance(path, str | Path) or Path(path).suffix.lower() not in (".html", ".htm"):
            raise ConfigurationError(f"{path}: a view is saved as a page; name it view.html")
        with write_atomically(path) as unfinished:
            unfinished.write_text(self.to_html(), "utf-8")

    @cached_property
    def _png(self) -> bytes:
        return png_of(self.still())

    def _repr_html_(self) -> str:
        page = page_html(self.view, self.start, introduction=False)
        return frame_html(page, self._png, self.height, self.title)

    def _repr_mimebundle_(
        self, include: Sequence[str] | None = None, exclude: Sequence[str] | None = None
    ) -> dict[str, Any] | tuple[dict[str, Any], dict[str, Any]]:
        """A page within the page, and what stands in for it elsewhere."""
        bundle = {"text/plain": repr(self), "text/html": self._repr_html_(), "image/png": self._png}
        if self.widget is None:
            return bundle
        live = self.widget._repr_mimebundle_()
        data, metadata = live if isinstance(live, tuple) else (live or {}, {})
        return {**bundle, **data, "text/plain": repr(self)}, metadata

    def __repr__(self) -> str:
        return f"Viewer({self.title})"


def png_of(figure: Figure) -> bytes:
    """A small PNG of a figure: 256 colors, as drawings need no more."""
    from PIL import Image

    buffer, small = io.BytesIO(), io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    with Image.open(buffer) as drawn:
        drawn.convert("RGB").quantize(256).save(small, "PNG", optimize=True)
    return small.getvalue()
