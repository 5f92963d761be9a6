"""Figures draw the differences of their tables, with their intervals: computed here by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from llavit_lens.studies.qkv_undone.figure import draw_undone
from llavit_lens.studies.tables.figure import draw_study
from llavit_lens.studies.tables.kinds_figure import above_guessing, draw_kinds
from llavit_lens.studies.text_only.figure import draw_text_only

DOCS = Path(__file__).resolve().parents[2] / "docs"
ENDS = ["change", "change_low", "change_high"]


def intervals(axes: Axes, *, upright: bool) -> list[tuple[float, float, float]]:
    """(value, low, high) of all points with an error bar, in the order in which they are drawn."""
    drawn = []
    for container in axes.containers:
        points, _, (bars,) = container.lines
        values = points.get_ydata() if upright else points.get_xdata()
        for value, bar in zip(values, bars.get_segments(), strict=True):
            ends = sorted(bar[:, 1 if upright else 0])
            drawn.append((float(value), float(ends[0]), float(ends[1])))
    return drawn


def expected(rows: pd.DataFrame) -> list[tuple[float, float, float]]:
    return [tuple(row) for row in rows[ENDS].to_numpy().tolist()]


@pytest.fixture
def study() -> pd.DataFrame:
    rows = []
    for number, variant in enumerate(("baseline", "separate_qkv", "llavit")):
        for measure, category, state in (
            ("accuracy", "vision_centric", None), ("accuracy", "ocr_chart", None),
            ("hit3", None, 0), ("hit3", None, 1),
        ):  # fmt: skip
            change = number * 0.02 + (0.01 if state else 0.0)
            rows.append((variant, 3, measure, category, state, 0.7 + change, change,
                         change - 0.015, change + 0.03))  # fmt: skip
    columns = ["variant", "seeds", "measure", "category", "state", "value", *ENDS]
    return pd.DataFrame(rows, columns=columns).astype({"state": "Int64"})


def test_the_study_draws_changes_against_its_first_variant(study: pd.DataFrame) -> None:
    figure = draw_study(study, {"vision_centric": 0.25, "ocr_chart": 0.2}, 500)
    answers, words = figure.axes
    others = study[study["variant"].ne("baseline")]
    asked = expected(others[others["measure"].eq("accuracy")])
    assert np.allclose(intervals(answers, upright=False), asked)
    read = expected(others[others["measure"].eq("hit3")])
    assert np.allclose(intervals(words, upright=True), read)
    labels = [label.get_text() for label in answers.get_yticklabels()]
    assert labels[0] == "vision-centric\nbaseline 70%\nguessing 25%"
    assert labels[1].startswith("reading signs\n")
    assert [label.get_text() for label in words.get_xticklabels()] == ["0\n70%", "1\n71%"]
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == ["Separate QKV", "LLaViT", "Baseline, the line at zero"]
    assert "3 seeds of each, 500 held-out scenes" in (figure.caption or "")


def test_a_variant_without_a_seed_in_common_is_named_in_the_caption(study: pd.DataFrame) -> None:
    study.loc[study["variant"].eq("llavit"), ENDS] = np.nan
    figure = draw_study(study, {"vision_centric": 0.25, "ocr_chart": 0.2}, 500)
    assert "Not drawn, as no seed is shared with the baseline: LLaViT." in (figure.caption or "")


def test_text_only_draws_changes_against_its_first_model() -> None:
    table = pd.read_csv(DOCS / "analyses" / "text_only.csv")
    figure = draw_text_only(table)
    others = table[table["model"].ne(table["model"].iloc[0])]
    for axes, measure in zip(figure.axes, ("accuracy", "nll"), strict=True):
        rows = others[others["measure"].eq(measure)]
        assert np.allclose(intervals(axes, upright=False), expected(rows))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[0] == "all (25%)"
    key = [text.get_text() for text in figure.legends[0].get_texts()]
    assert key == ["Baseline", "LLaViT", "Language model: the line at zero, its level in brackets"]


def test_text_only_of_one_model_draws_its_level() -> None:
    table = pd.read_csv(DOCS / "analyses" / "text_only.csv")
    one = table[table["model"].eq("demo:llavit")]
    figure = draw_text_only(one)
    drawn = intervals(figure.axes[0], upright=False)
    rows = one[one["measure"].eq("accuracy")][["value", "low", "high"]]
    assert np.allclose(drawn, rows.to_numpy())


def test_undone_draws_changes_against_the_model_as_trained() -> None:
    table = pd.read_csv(DOCS / "analyses" / "visual_qkv_undone.csv")
    figure = draw_undone(table)
    undone = table[table["condition"].ne("as trained")]
    names = ["vision_centric", "ocr_chart", "knowledge", "general"]
    for axes, category in zip(figure.axes, names, strict=False):
        rows = undone[undone["category"].eq(category)]
        assert np.allclose(intervals(axes, upright=True), expected(rows))
    for axes, first in zip(figure.axes[5:], (5, 4, 3, 2, 1, 0), strict=True):
        rows = undone[undone["measure"].eq("hit3") & undone["first_layer"].eq(first)]
        assert np.allclose(intervals(axes, upright=True), expected(rows))


def test_of_a_deep_decoder_some_ways_are_drawn_and_the_caption_says_so() -> None:
    table = pd.read_csv(DOCS / "analyses" / "visual_qkv_undone.csv")
    deep = [table] + [
        table[table["first_layer"].eq(5)].assign(first_layer=first) for first in range(6, 28)
    ]
    figure = draw_undone(pd.concat(deep))
    assert len(figure.axes) == 4 + 1 + 7
    assert "7 of 28 ways are drawn" in (figure.caption or "")


def test_color_is_how_far_above_guessing_an_answer_is() -> None:
    assert above_guessing(0.5, 0.5) == above_guessing(0.2, 0.5) == 0
    assert above_guessing(0.75, 0.5) == 0.5
    assert above_guessing(1.0, 0.5) == 1 and above_guessing(1.0, 1.0) == 0


def test_headings_break_between_words_only() -> None:
    rows = [
        ("vision_centric", "at", 9, 0.1, name, 1, 0.5, 0.5, 0.5)
        for name in ("one", "two", "three", "four", "five")
    ]
    columns = ["category", "kind", "asked", "guess", "variant", "seeds", "value", "lowest",
               "highest"]  # fmt: skip
    table = pd.DataFrame(rows, columns=columns)
    names = ["Separate QKV + bidirectional", "a", "b", "c", "a-checkpoint-with-a-very-long-name"]
    titles = dict(zip(table["variant"], names, strict=True))
    figure = draw_kinds(table, "Title", "Caption", titles)
    texts = [text.get_text() for text in figure.texts]
    assert {"Separate QKV", "+", "bidirectional"} <= set(texts)
    assert any(text.startswith("…") and text.endswith("long-name") for text in texts)
    assert "What is at this place?" in texts and "Vision-centric" in texts
