"""The ablation study on shipped models and pictures, which need no font."""

from __future__ import annotations

import random

import numpy as np
import pandas as pd
import pytest
from benchmark_scenes import example_scene

from llavit_lens.errors import ConfigurationError
from llavit_lens.evaluation.bootstrap import Bootstrap
from llavit_lens.interventions.attention_check import check_visual_attention
from llavit_lens.lens.logit_lens import logit_lens
from llavit_lens.miniature.benchmark.evaluate import BenchmarkScene, evaluate
from llavit_lens.miniature.world.questions import questions
from llavit_lens.miniature.world.scenes import example_names, example_path, example_truth
from llavit_lens.studies.ablation import measure as ablation
from llavit_lens.studies.ablation.figure import draw_ablation
from llavit_lens.studies.conditions import AS_TRAINED, condition_table, evaluate_under
from llavit_lens.vlm.load import load
from llavit_lens.vlm.vlm import VLM


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return load("demo:llavit")


@pytest.fixture(scope="module")
def scenes() -> list[BenchmarkScene]:
    made = []
    for name in example_names()[:3]:
        asked = questions(example_truth(name).scene, random.Random(0))[:6]
        made.append(example_scene(name, asked))
    return made


@pytest.fixture(scope="module")
def table(vlm: VLM, scenes: list[BenchmarkScene]) -> pd.DataFrame:
    results = [
        (condition, evaluate_under(condition, vlm, scenes))
        for condition in ablation.conditions(6, 3)
    ]
    return condition_table("demo:llavit", results, Bootstrap(len(scenes)))


def test_what_is_read_is_what_the_lens_reads(vlm: VLM, scenes: list[BenchmarkScene]) -> None:
    scene = scenes[0]
    result = evaluate(vlm, scene)
    words = logit_lens(vlm.trace(scene.image), k=3)
    expected, patches = [0] * len(words.layers), 0
    for row in range(8):
        for col in range(8):
            thing = scene.truth.thing(row, col)
            if thing is None:
                continue
            patches += 1
            for state, layer in enumerate(words.layers):
                said = {word.word.strip() for word in words.at(layer, row, col)}
                expected[state] += bool(said & thing.words)
    assert result.patches == patches > 0
    assert result.read.tolist() == expected
    assert sum(result.asked.values()) == len(scene.questions)


def test_answers_are_those_of_generate(vlm: VLM, scenes: list[BenchmarkScene]) -> None:
    scene = scenes[1]
    right = sum(
        vlm.generate(scene.image, question.question).split()[0].strip(".") == question.answer
        for question in scene.questions
    )
    assert sum(evaluate(vlm, scene).right.values()) == right > 0


def test_conditions_cover_the_decoder() -> None:
    found = ablation.conditions(6, 2)
    windows = [(c.first, c.last) for c in found if c.name == ablation.WINDOW]
    assert windows == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    with pytest.raises(ConfigurationError, match="--window 7"):
        ablation.conditions(6, 7)


@pytest.mark.long
@pytest.mark.parametrize("window", [1, 2, 5, 6])
def test_a_condition_acts_in_exactly_the_layers_of_its_label(vlm: VLM, window: int) -> None:
    """Under Eq. 5 the update of visual tokens is zero: there, and in no other layer."""
    image = example_path(example_names()[0])
    visual = vlm.prepare(image).layout.positions
    found = [c for c in ablation.conditions(6, window) if c.name != ablation.SELF_ONLY]
    assert len(found) == (2 if window == 6 else 2 + 6 - window + 1)
    for condition in found:
        with condition.apply(vlm):
            _, cache = vlm.run_with_cache(image, names_filter="*.hook_attn_out")
        silent = [n for n in range(6) if bool((cache["attn_out", n][0, visual] == 0).all())]
        wanted = [] if condition.first is None else range(condition.first, condition.last + 1)
        assert silent == list(wanted)


def test_the_other_condition_leaves_each_visual_token_itself(vlm: VLM) -> None:
    (only_self,) = (c for c in ablation.conditions(6, 2) if c.name == ablation.SELF_ONLY)
    assert (only_self.first, only_self.last) == (0, 5)
    with only_self.apply(vlm):
        image = example_path(example_names()[0])
        assert check_visual_attention(vlm, image, mode="self").passed


@pytest.mark.long
def test_the_intervention_is_in_force(table: pd.DataFrame) -> None:
    """State 0 comes before all attention; a window of layers cannot change what comes before it."""
    read = table[table["measure"].eq("hit3")].set_index(["condition", "first_layer", "state"])
    values = read["value"]
    trained = table[table["condition"].eq(AS_TRAINED) & table["measure"].eq("hit3")]
    before = trained.set_index("state")["value"]
    for first in range(4):
        for state in range(first + 1):
            assert values[ablation.WINDOW, first, state] == before[state]
    assert values[ablation.NO_UPDATE, 0, 0] == before[0]
    assert (values.loc[ablation.NO_UPDATE].to_numpy() != before.to_numpy()).any()
    after = [values[ablation.WINDOW, 0, state] for state in before.index]
    assert after != before.tolist()
    rows = table[table["condition"].eq(AS_TRAINED)]
    assert (rows["change"] == 0).all()
    assert ((table["low"] <= table["value"]) & (table["value"] <= table["high"])).all()


@pytest.mark.long
def test_the_figure_is_drawn(table: pd.DataFrame) -> None:
    """Its panels hold the numbers of the table: answers, one category's sweep, words by state."""
    ends = {"change": -0.25, "change_low": -0.3, "change_high": -0.2}
    two = pd.concat([table, table.assign(model="demo:baseline", **ends)])
    figure = draw_ablation(two)
    answers, *_ = figure.axes
    *_, sweep, words, of_baseline = figure.axes
    swept = table[table["condition"].eq(ablation.WINDOW) & table["category"].eq("vision_centric")]
    lines = [container.lines[0].get_ydata() for container in sweep.containers]
    assert np.allclose(lines[0], swept["change"]) and np.allclose(lines[1], -0.25)
    by_state = table[table["measure"].eq("hit3")].set_index("condition")["value"]
    drawn = [line.get_ydata() for line in words.lines]
    assert np.allclose(drawn[0], by_state[AS_TRAINED])
    assert np.allclose(drawn[1], by_state[ablation.NO_UPDATE]) and len(drawn) == 2
    assert len(of_baseline.lines) == 2
    assert answers.get_title("left") == "Vision-centric"
    rows = [label.get_text() for label in answers.get_yticklabels()]
    own = ["as trained", "no attention update", "sees no other patch"]
    assert rows == [f"LLaViT: {own[0]}", *own[1:], f"Baseline: {own[0]}", *own[1:]]
    asked = table[table["category"].eq("vision_centric") & table["condition"].isin(
        [AS_TRAINED, ablation.NO_UPDATE, ablation.SELF_ONLY])]  # fmt: skip
    values = [container.lines[0].get_xdata()[0] for container in answers.containers]
    assert np.allclose(values, [*asked["value"], *asked["value"]])
