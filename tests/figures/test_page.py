"""Pages keep the inches of their parts, whatever their height becomes."""

from __future__ import annotations

import pytest

from llavit_lens.figures.charts import name_panel, new_chart
from llavit_lens.figures.page import EDGE, Page


def test_parts_keep_their_inches_when_the_page_gets_its_height() -> None:
    page = Page(5.0)
    axes = page.axes(1.0, 2.0, 3.0, 0.5)
    page.text(1.0, 2.0, "word", size=10)
    page.box(1.0, 2.0, 3.0, 0.5, "#000000")
    figure = page.finish(4.0)
    dpi = figure.dpi
    assert figure.get_size_inches().tolist() == [5.0, 4.0]
    expected = pytest.approx([1.0 * dpi, 1.5 * dpi, 3.0 * dpi, 0.5 * dpi])  # from the foot
    assert list(axes.bbox.bounds) == expected
    assert list(figure.artists[0].get_window_extent().bounds) == expected
    extent = figure.texts[0].get_window_extent()
    assert extent.x0 == pytest.approx(1.0 * dpi, abs=3)
    assert extent.y1 == pytest.approx(2.0 * dpi, abs=3)


@pytest.mark.parametrize("weight", ["normal", "bold"])
def test_a_paragraph_stays_within_its_width_and_above_its_end(weight: str) -> None:
    page = Page(6.0)
    end = page.paragraph(EDGE, 1.0, "some words of a long title " * 20, size=12, weight=weight)
    figure = page.finish(8.0)
    extent = figure.texts[0].get_window_extent()
    assert extent.x1 <= (6.0 - EDGE) * figure.dpi
    assert extent.y0 == pytest.approx((8.0 - end) * figure.dpi, abs=0.1 * figure.dpi)


@pytest.mark.long
@pytest.mark.parametrize("repeats", [1, 12])
def test_a_chart_makes_room_for_its_words_and_its_key(repeats: int) -> None:
    key = [(f"a model with a long name {i}", {"color": "black"}) for i in range(repeats)]
    figure, panels = new_chart("Title " * repeats, "About it", key, 2, height=3.0)
    for axes in panels.flat:
        axes.set_ylabel("share")
        name_panel(axes, "Panel", "detail")
    figure.draw_without_rendering()
    parts = [*figure.texts, *figure.legends, *panels.flat]
    extents = [part.get_tightbbox() for part in parts]
    assert all(e.x0 >= 0 and e.x1 <= figure.bbox.x1 and e.y0 >= 0 for e in extents)
    heading = min(e.y0 for e in extents[:-2])
    assert all(e.y1 < heading for e in extents[-2:])
    assert not extents[-2].overlaps(extents[-1])
