"""Figures of Tables 4 and 5: every number stands on the page, and nothing runs over its edge."""

from __future__ import annotations

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llavit_lens.studies.costs import table_4, table_5
from llavit_lens.studies.costs.bars import INK, POINT, SECOND
from llavit_lens.studies.costs.flops_figure import MODULE_NAMES, draw_flops
from llavit_lens.studies.costs.parameters_figure import draw_parameters


@pytest.fixture(scope="module")
def four() -> list[table_4.ParameterRow]:
    return table_4.table_4()


@pytest.fixture(scope="module")
def five() -> list[table_5.FlopRow]:
    return table_5.table_5()


def lines(figure: Figure) -> list[str]:
    return [line for text in figure.texts for line in text.get_text().splitlines()]


def bar_lengths(figure: Figure, color: str) -> list[float]:
    """Inches, the square of the key left out."""
    bars = [a for a in figure.artists if isinstance(a, Rectangle)]
    return [b.get_width() for b in bars if to_hex(b.get_facecolor()) == color][1:]


@pytest.mark.long
def test_table_4_is_drawn_to_scale(four: list[table_4.ParameterRow]) -> None:
    figure = draw_parameters(four)
    shown = lines(figure)
    assert "16.87, +11.7 %  (16.87, +11.7 %)" in shown
    assert "5.05, +22.1 %  (not in the paper's table)" in shown
    llms = list(dict.fromkeys(row.base_llm for row in four))
    assert [text for text in shown if text in llms] == llms
    llm = bar_lengths(figure, INK)
    scale = llm[0] / four[0].llm
    assert llm == pytest.approx([row.llm * scale for row in four])
    qkv = [row.visual_qkv * scale for row in four]
    assert bar_lengths(figure, POINT) == pytest.approx(qkv, abs=1e-9)
    tower = [(row.vision_tower + row.projector) * scale for row in four]
    assert bar_lengths(figure, SECOND) == pytest.approx(tower)


@pytest.mark.long
def test_table_5_is_drawn_to_scale(five: list[table_5.FlopRow]) -> None:
    figure = draw_flops(five, 1.447, 0.754)
    shown = " ".join(lines(figure))
    for row in five:
        numbers = (f"{row.gflops_paper:,.1f}", f"{row.gflops:,.1f}")
        for text in (MODULE_NAMES[row.module], *numbers, row.difference):
            assert text in shown
    claim = "adds 0.75 % to the whole LLM, 1.45 % by the paper's numbers"
    assert claim in (figure.caption or "") and claim not in shown
    for block in (slice(0, 3), slice(3, 6)):
        printed, counted = bar_lengths(figure, INK)[block], bar_lengths(figure, SECOND)[block]
        scale = printed[0] / five[block][0].gflops_paper
        assert printed == pytest.approx([row.gflops_paper * scale for row in five[block]])
        assert counted == pytest.approx([row.gflops * scale for row in five[block]])


@pytest.mark.long
def test_nothing_leaves_the_page_or_overlaps(
    four: list[table_4.ParameterRow], five: list[table_5.FlopRow]
) -> None:
    for figure in (draw_parameters(four), draw_flops(five, 1.4, 0.7)):
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        boxes = [t.get_window_extent(canvas.get_renderer()) for t in figure.texts if t.get_text()]
        for box in boxes:
            assert box.x0 > 0 and box.y0 > 0
            assert box.x1 < figure.bbox.x1 and box.y1 < figure.bbox.y1
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[number + 1 :])
