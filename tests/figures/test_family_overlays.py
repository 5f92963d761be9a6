"""Words drawn on an image for every family of models: in a figure, and in a view."""

from __future__ import annotations

import pytest
from family_case import Case
from family_cases import CASES
from made_layouts import words_on
from made_up_words import made_up_words
from matplotlib import pyplot as plt
from matplotlib.collections import PolyCollection
from tiny import tiny_image

import llavit_lens as ll


@pytest.fixture(scope="module")
def words() -> ll.Words:
    return made_up_words(4, 4, 1)


@pytest.mark.long
@pytest.mark.parametrize("case", CASES.values(), ids=repr)
def test_words_are_drawn_on_what_a_family_sees(case: Case, words: ll.Words) -> None:
    """Each patch that lies on the image is drawn, whole and in tiles; or there is no map."""
    layout = case.vlm().prepare(tiny_image(0, 150, 90), case.prompt).layout
    read = words_on(words, layout)
    if not layout.has_map:
        with pytest.raises(ll.ConfigurationError, match="words by token"):
            read.plot(-1)
        assert len(read.by_token()) == len(layout)
        return
    both = layout.whole is not None and len(layout.grid) > 1
    for tile in (layout.view, *["grid"] * both):
        figure = read.plot(-1, tile=tile)
        tints = [c for ax in figure.axes for c in ax.collections if isinstance(c, PolyCollection)]
        cells = layout.cells_drawn(tile)  # type: ignore[arg-type]
        slivers = len(cells) - len(tints[0].get_paths())
        assert 0 <= slivers <= len(cells) // 2
        plt.close("all")
    view = read.show().view["panes"][0]
    assert view.get("whole", 0) == layout.whole and len(view["grids"]) == len(layout.grid)
