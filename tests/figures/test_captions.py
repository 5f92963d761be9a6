"""Captions go into the file and not into the image; nothing is cut off."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.text import Text
from PIL import Image

from llavit_lens.figures.charts import new_chart
from llavit_lens.figures.figure import Figure
from llavit_lens.figures.page import Page
from llavit_lens.figures.table import draw_table
from llavit_lens.studies.ablation.figure import draw_ablation
from llavit_lens.studies.attention_distance.figure import draw_attention_distance
from llavit_lens.studies.qkv_drift.figure import draw_qkv_drift
from llavit_lens.studies.qkv_undone.figure import draw_undone
from llavit_lens.studies.text_only.figure import draw_text_only
from llavit_lens.studies.word_maps.report import draw_word_maps

DOCS = Path(__file__).resolve().parents[2] / "docs"
TITLE, CAPTION = "What is seen", "What was measured: 95 % of it, 深 and √2."
DRAWN: dict[str, Callable[[pd.DataFrame], Figure]] = {
    "ablation.csv": draw_ablation,
    "analyses/attention_distance.csv": draw_attention_distance,
    "analyses/visual_qkv_drift.csv": draw_qkv_drift,
    "analyses/visual_qkv_undone.csv": draw_undone,
    "analyses/text_only.csv": draw_text_only,
    "analyses/word_maps.csv": draw_word_maps,
}


def saved(figure: MatplotlibFigure, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format=kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


@pytest.fixture
def figure() -> Figure:
    return new_chart(TITLE, CAPTION, [], 1, height=1.0)[0]


def test_a_png_holds_title_and_caption(figure: Figure, tmp_path: Path) -> None:
    with Image.open(io.BytesIO(saved(figure, "png"))) as image:
        assert (image.text["Title"], image.text["Description"]) == (TITLE, CAPTION)
    figure.savefig(tmp_path / "by_its_name.png")
    with Image.open(tmp_path / "by_its_name.png") as image:
        assert image.text["Description"] == CAPTION


def test_a_pdf_holds_title_and_caption(figure: Figure) -> None:
    data = saved(figure, "pdf")
    assert b"/Title (" + TITLE.encode() in data or TITLE.encode("utf-16-be") in data
    assert re.search(rb"/Subject \(", data)


def test_an_svg_holds_title_and_caption(figure: Figure) -> None:
    text = saved(figure, "svg").decode()
    assert f"<dc:title>{TITLE}</dc:title>" in text and CAPTION in text


def test_metadata_of_the_caller_wins(figure: Figure) -> None:
    with Image.open(io.BytesIO(saved(figure, "png", metadata={"Title": "Mine"}))) as image:
        assert (image.text["Title"], image.text["Description"]) == ("Mine", CAPTION)


def test_a_figure_without_a_caption_says_nothing() -> None:
    with Image.open(io.BytesIO(saved(Page(1.0).finish(1.0), "png"))) as image:
        assert not {"Title", "Description"} & set(image.text)
    assert saved(Page(1.0).finish(1.0), "jpg")  # a format without these


def test_a_headline_is_the_title() -> None:
    page = Page(5.0)
    page.heading("A headline", "More about it")
    assert page.figure.title == "A headline"


@pytest.mark.parametrize("file", DRAWN)
def test_the_caption_of_a_study_is_not_drawn(file: str) -> None:
    figure = DRAWN[file](pd.read_csv(DOCS / file))
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert figure.title in [text.replace("\n", " ") for text in texts]
    assert figure.caption and len(figure.caption) > 100
    assert max(map(len, texts)) < 60  # no paragraph
    assert not any("Figure" in text or "demo:" in text or "_" in text for text in texts)


@pytest.mark.long
@pytest.mark.parametrize("file", DRAWN)
def test_no_text_is_cut_off_and_none_overlaps(file: str) -> None:
    figure = DRAWN[file](pd.read_csv(DOCS / file))
    figure.draw_without_rendering()
    texts = [t for t in figure.findobj(Text) if t.get_text().strip() and t.get_visible()]
    hidden = _hidden(figure)
    seen = {t: t.get_window_extent() for t in texts if t not in hidden}
    page = figure.bbox
    for text, box in seen.items():
        inside = box.x0 >= -1 and box.x1 <= page.x1 + 1 and box.y0 >= -1 and box.y1 <= page.y1 + 1
        assert inside, (text, box)
    items = list(seen.items())
    for number, (text, box) in enumerate(items):
        for other, over in items[number + 1 :]:
            assert not _overlap(box, over), (text.get_text(), other.get_text())


def _hidden(figure: Figure) -> set[Text]:
    """Tick labels outside of the view are not drawn, but keep a place."""
    found = set()
    for axes in figure.axes:
        for axis, (low, high), which in (
            (axes.xaxis, sorted(axes.get_xlim()), 0),
            (axes.yaxis, sorted(axes.get_ylim()), 1),
        ):
            for tick in axis.get_major_ticks():
                for label in (tick.label1, tick.label2):
                    if not low - 1e-9 <= label.get_position()[which] <= high + 1e-9:
                        found.add(label)
    return found


def _overlap(one: object, other: object) -> bool:
    a, b = one, other
    wide = min(a.x1, b.x1) - max(a.x0, b.x0)  # type: ignore[attr-defined]
    tall = min(a.y1, b.y1) - max(a.y0, b.y0)  # type: ignore[attr-defined]
    return wide > 1 and tall > 4  # pixels; lines of one heading touch


def test_a_printed_table_holds_its_cells_and_stays_on_its_page() -> None:
    rows = [["Baseline", "72.3 ± 1.0\n(39.3 / 45.0)"], ["a longer name", "1"]]
    figure = draw_table("Table 9. Something", CAPTION, ["", "Vision-centric"], [rows[:1], rows[1:]])
    texts = [text.get_text() for text in figure.texts]
    for cell in ("Table 9. Something", "Vision-centric", "72.3 ± 1.0", "(39.3 / 45.0)", "1"):
        assert cell in texts
    assert figure.caption == CAPTION and CAPTION not in texts
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in figure.texts if text.get_text()]
    assert all(b.x0 > 0 and b.x1 < figure.bbox.x1 and b.y0 > 0 for b in boxes)
    for number, box in enumerate(boxes):
        assert not any(_overlap(box, other) for other in boxes[number + 1 :])
