"""Which figure draws which result: the one table of imports by name.

`figures` stands above `results` and imports it, so a result cannot import its figure by itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from llavit_lens.viewer.viewer import Viewer

FIGURES = {
    "AttentionPatterns": "llavit_lens.figures.attention_map:draw_attention",
    "Comparison": "llavit_lens.figures.comparison:draw_word_comparison",
    "Hits": "llavit_lens.figures.contact_sheet:draw_contact_sheet",
    "Readability": "llavit_lens.figures.readability:draw_readability",
    "RestoreMap": "llavit_lens.figures.restore_map:draw_restore_map",
    "TokenWords": "llavit_lens.figures.token_words:draw_token_words",
    "Words": "llavit_lens.figures.patch_words:draw_patch_words",
}
"""By the name of the result's class: module, colon, function; the function takes the result
first."""


SHOWN = {"Words": "llavit_lens.viewer.show:show"}
"""The same for views in a browser."""

SHEETS = {"Hits": "llavit_lens.viewer.sheet:save_sheet"}
"""The same for contact sheets, in a file."""


def draw(result: object, *arguments: Any, **options: Any) -> Figure:
    """The figure of a result; arguments and options are those of its function in `FIGURES`."""
    name = next(kind.__name__ for kind in type(result).__mro__ if kind.__name__ in FIGURES)
    figure: Figure = _named(FIGURES[name])(result, *arguments, **options)
    return figure


def show(*results: object, **options: Any) -> Viewer:
    """The view of results; options are those of the function in `SHOWN`."""
    viewer: Viewer = _named(SHOWN[type(results[0]).__name__])(*results, **options)
    return viewer


def sheet(result: object, *arguments: Any, **options: Any) -> None:
    """Write the contact sheet of a result; arguments and options are those of the function in
    `SHEETS`."""
    _named(SHEETS[type(result).__name__])(result, *arguments, **options)


def _named(place: str) -> Any:
    module, function = place.split(":")
    return getattr(import_module(module), function)
