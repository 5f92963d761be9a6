"""`Words.show` and `ll.show`: from results to a view."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from llavit_lens.errors import ConfigurationError, install, printable
from llavit_lens.figures.patch_grid import image_of_words
from llavit_lens.inputs import whole_number
from llavit_lens.results.matching import matched_layer
from llavit_lens.results.truth import words_of_each
from llavit_lens.results.words import Words, surest_layer
from llavit_lens.viewer.labelled import known_of
from llavit_lens.viewer.panes import difference_of_panes, panes_of, titles_of
from llavit_lens.viewer.payload import words_payload
from llavit_lens.viewer.reading import WordsReading
from llavit_lens.viewer.start import nearest_read, telling_patch
from llavit_lens.viewer.viewer import Viewer

if TYPE_CHECKING:
    from PIL import Image

    from llavit_lens.figures.figure import Figure
    from llavit_lens.images.open import ImageSource
    from llavit_lens.results.truth import Truth
    from llavit_lens.viewer.widget import ViewWidget

HEIGHT = 640
"""CSS pixels: what a window of a laptop shows at once."""
HEIGHTS = (240, 4000)
MOST_WORDS = 200_000
"""Of all panes together: about one megabyte. Beyond it the unlikeliest words of each patch are left
out, unless the user asks for them."""
MAX_SIDE = 800
"""Pixels of the image's longer side."""


def show(
    *words: Words,
    layer: int | None = None,
    truth: Truth | None = None,
    image: ImageSource | None = None,
    titles: Sequence[str] | None = None,
    k: int | None = None,
    height: int = HEIGHT,
    live: bool = False,
) -> Viewer:
    """Words on their image, to look at in a notebook: hover, layer slider, search, pinned patch.

        ll.show(words)
        ll.show(words, ll.input_similarity(trace))      # with the row "cos"
        ll.show(words, words_of_another_model)          # side by side
        ll.show(words).save("view.html")

    Args:
        words: one or two readings of one image: words of the logit lens, of the input similarity,
            or of both (of the same trace: they are shown as one).
        layer: where the view starts, a number as in `Words.at`; default: the layer at which the
            model is surest.
        truth: for each visual token of the first words the words that are true of its patch (None:
            unknown), or a `LabelledImage` of the image, which knows them for both; default: what a
            labelled `image` says.
        image: the one that the words were read from, or a sharper or smaller copy of it; needed
            after `Words.load`, which has none. An example scene (`ll.example`, "example:NAME") is
            shown sharper than the models see it.
        titles: what stands above the panes; default: the models' names.
        k: how many words of each patch the view holds; default: all of them, or as many as keep the
            page small.
        height: of the view in a notebook, in CSS pixels.
        live: whether clicks come back to Python, as `Viewer.selected`. This needs a running
            notebook and anywidget; a saved notebook then shows a still image.

    Raises:
        ConfigurationError: words that do not belong side by side, no image or another one, no such
            layer, another number of patches in `truth`, or `live` without anywidget.
        ImageError: the image cannot be read.
    """
    panes = panes_of(words)
    names = titles_of(panes, titles)
    known = known_of(image, panes[0].lead)
    pixels = image_of_words(words, known.image)
    truth = known.truth if truth is None else truth
    true = words_of_each(truth, [pane.lead for pane in panes])
    judged = None if any(each is None for each in true) else truth
    tall = whole_number(height, "height")
    if not HEIGHTS[0] <= tall <= HEIGHTS[1]:
        raise ConfigurationError(f"height={tall}: give {HEIGHTS[0]} to {HEIGHTS[1]} pixels")
    least = min(one.k for one in words)
    wanted = least if k is None else whole_number(k, "k")
    if not 1 <= wanted <= least:
        raise ConfigurationError(f"k={wanted}: these words have 1 to {least} for each patch")
    apart = difference_of_panes(panes)
    view = words_payload(
        [(printable(name, 60), pane) for name, pane in zip(names, panes, strict=True)],
        pixels,
        wanted,
        truth,
        apart,
        most=None if k is not None else MOST_WORDS // len(panes),
        max_side=MAX_SIDE,
    )
    held = min(pane["k"] for pane in view["panes"])
    if apart is not None:
        view["among"] = held
    if notes := _notes(held, wanted, pixels.size, panes[0].lead.layout.image_size):
        view["notes"] = notes
    lead = panes[0].lead
    if layer is None:  # of two models the one on the right is of more interest
        last = panes[-1]
        wanted = matched_layer(surest_layer(last.lead), last.depth, panes[0].depth)
        layer = nearest_read(lead, wanted)
    row = lead.layer_index(layer)
    slot = row + (1 if panes[0].words is not None and panes[0].similarity is not None else 0)
    patch = telling_patch(lead, lead.layers[row], None if apart is None else apart[slot])
    start = {"slot": slot, "pin": patch, "color": "probability", "scale": "", "labels": ""}
    return Viewer(
        title=f"{' and '.join(names)}: {len(lead.layers)} layers, {len(lead.layout)} patches",
        view=view,
        start=start,
        height=tall,
        still=lambda: _still(panes, names, lead.layers[row], pixels, judged),
        widget=_widget(view, start, tall, panes[0]) if live else None,
    )


def _notes(held: int, wanted: int, shown: tuple[int, int], read: tuple[int, int]) -> list[str]:
    """What the view leaves out, and what it adds."""
    notes = []
    if held < wanted:
        notes.append(
            f"Of the {wanted} words of each patch the {held} likeliest are here, to keep this page "
            f"small: show(k={wanted}) has them all."
        )
    if shown[0] > read[0]:
        notes.append(f"The image is sharper here than for the model: {read[0]} x {read[1]} pixels.")
    return notes


def _widget(
    view: dict[str, Any], start: dict[str, Any], height: int, pane: WordsReading
) -> ViewWidget:
    if find_spec("anywidget") is None:
        raise ConfigurationError(
            f"live=True needs anywidget: {install('notebook')}, or leave live out for a view that "
            "needs nothing"
        )
    from llavit_lens.viewer.widget import ViewWidget

    layout, layers = pane.lead.layout, pane.lead.layers
    rows = len(layers)
    layer = layers[max(0, start["slot"] - (len(view["panes"][0]["slots"]) - rows))]
    patch = start["pin"]
    place = [layer, *(int(axis[patch]) for axis in (layout.row, layout.col, layout.tile))]
    return ViewWidget(view={"still": view, "start": start}, height=height, selected=place)


def _still(
    panes: Sequence[WordsReading],
    names: Sequence[str],
    layer: int,
    image: Image.Image,
    truth: Truth | None,
) -> Figure:
    """The first layer that is shown, drawn."""
    from llavit_lens.figures.panels import draw_word_panels

    rows = []
    for name, pane in zip(names, panes, strict=True):
        wanted = matched_layer(layer, panes[0].depth, pane.depth)
        rows.append((name, [(pane.lead, nearest_read(pane.lead, wanted))]))
    return draw_word_panels(rows, image, truth=truth)
