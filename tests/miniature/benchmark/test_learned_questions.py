"""Suggested questions are of the kinds that the trained models answer, by the published results."""

import json
from pathlib import Path

import pytest

from llavit_lens.miniature.benchmark.learned_questions import (
    ENOUGH,
    LEARNED,
    learned_kinds,
    suggested_questions,
)
from llavit_lens.miniature.world.right_answers import right_answers
from llavit_lens.miniature.world.scenes import example_names, example_truth

RESULTS = Path(__file__).parents[3] / "analyses" / "results"


@pytest.mark.parametrize("variant", LEARNED)
def test_the_kinds_are_those_of_the_results(variant: str):
    runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"{variant}-seed*.json"))]
    assert len(runs) == 3
    shares: dict[str, list[float]] = {}
    for run in runs:
        for name, (right, asked) in run["kinds"].items():
            shares.setdefault(name.split(", ")[1], []).append(right / asked)
    assert set(LEARNED[variant]) == {kind for kind, each in shares.items() if min(each) >= ENOUGH}
    assert len(set(LEARNED[variant])) == len(LEARNED[variant])


def test_models_side_by_side_get_what_both_have_learned():
    both = learned_kinds(["baseline", "llavit"])
    assert set(both) == set(LEARNED["baseline"]) & set(LEARNED["llavit"]) and "count" not in both
    assert learned_kinds(["llavit", "something else"]) == []


@pytest.mark.parametrize("name", example_names())
def test_each_example_has_some_and_their_answers_are_known(name: str):
    scene = example_truth(name).scene
    for variants in (["llavit"], ["baseline", "llavit"], ["baseline", "no_visual_attention"]):
        found = suggested_questions(scene, variants)
        assert 2 <= len(found) <= 4 and len(set(found)) == len(found)
        assert all(right_answers(scene, question) for question in found)
        assert found == suggested_questions(scene, variants)
