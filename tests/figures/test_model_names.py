"""Models are named by people: charts draw any name as it is, apart from others, on the page."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text

from llavit_lens.figures.legible import drawable
from llavit_lens.figures.readability import draw_readability
from llavit_lens.figures.style import DARK
from llavit_lens.results.readability import UNTRAINED, Readability
from llavit_lens.studies.ablation.figure import draw_ablation
from llavit_lens.studies.attention_distance.figure import draw_attention_distance
from llavit_lens.studies.qkv_drift.figure import draw_qkv_drift
from llavit_lens.studies.qkv_undone.figure import draw_undone
from llavit_lens.studies.tables.figure import draw_study
from llavit_lens.studies.text_only.figure import draw_text_only

DOCS = Path(__file__).resolve().parents[2] / "docs"
NAMES = ["a$a$", r"runs/$\foo$", "_hidden", "深"]
LONG = ["/data/" + "very-long-name-of-a-folder/" * 12 + end for end in ("first", "second")]


def renamed(file: str, names: list[str]) -> pd.DataFrame:
    """A table of the documentation with other names for its models."""
    table = pd.read_csv(DOCS / file)
    new = dict(zip(dict.fromkeys(table["model"]), names, strict=False))
    return table[table["model"].isin(list(new))].replace({"model": new}).assign(scenes=4)


def undone(names: list[str]) -> Figure:
    return draw_undone(renamed("analyses/visual_qkv_undone.csv", names))


def drift(names: list[str]) -> Figure:
    table = pd.read_csv(DOCS / "analyses/visual_qkv_drift.csv")
    return draw_qkv_drift(table.assign(model=names[0]))


def readability(names: list[str]) -> Figure:
    rows = [
        (name + end, measure, layer, 3, 0.5, 0.4, 0.6, 0.1)
        for name in names
        for end in ("", UNTRAINED)
        for measure in ("hit", "name", "probe")
        for layer in range(3)
    ]
    columns = ["model", "measure", "layer", "k", "value", "low", "high", "chance"]
    table = pd.DataFrame(rows, columns=columns)
    return draw_readability(Readability(table.astype({"layer": "Int64"}), 4, [], [], [], {}))


def study(names: list[str]) -> Figure:
    rows = [
        (name, 3, measure, category, state, 0.5, 0.4, 0.6, 0.1, 0.0, 0.2)
        for name in names
        for measure, category, state in [("accuracy", "ocr", np.nan), ("hit3", "ocr", 0)]
    ]
    columns = ["variant", "seeds", "measure", "category", "state", "value", "low", "high",
               "change", "change_low", "change_high"]  # fmt: skip
    return draw_study(pd.DataFrame(rows, columns=columns), {"ocr": 0.25}, 4)


CHARTS: dict[str, Callable[[list[str]], Figure]] = {
    "ablation": lambda names: draw_ablation(renamed("ablation.csv", names)),
    "attention_distance": lambda names: draw_attention_distance(
        renamed("analyses/attention_distance.csv", names)
    ),
    "text_only": lambda names: draw_text_only(renamed("analyses/text_only.csv", names)),
    "undone": undone,
    "drift": drift,
    "readability": readability,
    "study": study,
}


def texts_of(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text)]


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("start", range(len(NAMES)))
def test_a_name_is_drawn_as_it_is(chart: str, start: int) -> None:
    """The whole of it, or its last part; the caption says which model that is."""
    names = NAMES[start:] + NAMES[:start]
    figure = CHARTS[chart](names[:2])
    figure.savefig(io.BytesIO(), format="png")
    texts = texts_of(figure)
    for name in names[: 1 if chart == "drift" else 2]:
        drawn = drawable((name.replace("_", " ") if chart == "study" else name).split("/")[-1])
        drawn = drawn.lower() if chart == "study" else drawn
        assert chart == "drift" or any(drawn in text.lower() for text in texts), (name, texts)
        assert chart == "study" or drawable(name) in (figure.caption or "")
    literal = [text for text in figure.findobj(Text) if "$" in text.get_text()]
    assert not any(text.get_parse_math() for text in literal)


@pytest.mark.parametrize("chart", CHARTS)
def test_long_names_stay_on_the_page_and_differ(chart: str) -> None:
    figure = CHARTS[chart](LONG)
    figure.draw_without_rendering()
    parts = [*figure.texts, *figure.legends, *figure.axes]
    for box in (part.get_tightbbox() for part in parts):
        assert box is None or (box.x0 >= 0 and box.x1 <= figure.bbox.x1)
    assert all(axes.bbox.width > figure.bbox.width / 8 for axes in figure.axes if axes.axison)
    if chart != "drift":
        texts = texts_of(figure)
        assert all(any(end in text for text in texts) for end in ("first", "second"))


def test_compared_models_have_a_color_that_nothing_else_has() -> None:
    figure = CHARTS["undone"](["demo:llavit", "demo:baseline"])
    (key,) = figure.findobj(Legend)
    colors = dict(zip([t.get_text() for t in key.get_texts()], key.get_lines(), strict=True))
    drawn = {name: to_hex(line.get_color()) for name, line in colors.items()}
    assert set(drawn) == {"LLaViT", "Baseline"}
    assert drawn["Baseline"] == DARK != drawn["LLaViT"]
