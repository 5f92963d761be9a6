"""The checkpoints that ship: small, ordinary, loadable like any other, and readable."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

import llavit_lens as ll
from llavit_lens.evaluation.readability import hit_rate, truth_of_other_pictures
from llavit_lens.miniature.presets import PRESETS
from llavit_lens.miniature.scenes import example_names, example_path, example_truth

FOLDER = Path(str(files("llavit_lens"))) / "assets" / "checkpoints"
SWITCHES = {
    "baseline": (False, "causal", -2),
    "no_visual_attention": (False, "none", -2),
    "llavit": (True, "bidirectional", [2, 4, 5]),
}
CARDS = [(FOLDER / name / "README.md").read_text() for name in SWITCHES]


def test_they_are_bf16_safetensors_of_at_most_30_mb_together():
    assert {p.name for p in FOLDER.iterdir()} == set(SWITCHES)
    assert sum(f.stat().st_size for f in FOLDER.rglob("*") if f.is_file()) <= 30e6
    for name in SWITCHES:
        assert not list((FOLDER / name).glob("*.bin"))
        with safe_open(FOLDER / name / "model.safetensors", "pt") as weights:
            assert {weights.get_tensor(k).dtype for k in weights.keys()} == {torch.bfloat16}  # noqa: SIM118
        assert "miniature" in (FOLDER / name / "README.md").read_text()


def test_they_are_of_one_recipe():
    recipes = {re.search(r"## Recipe.*?\n1\.(.*?)## Scores", card, re.S)[1] for card in CARDS}
    assert len(recipes) == 1
    (recipe,) = recipes
    preset = PRESETS["cpu"]
    for schedule in (preset.tower, preset.llm, preset.stage_1, preset.stage_2):
        assert f"{schedule.steps} steps of {schedule.batch}" in recipe


@pytest.mark.parametrize("name", SWITCHES)
def test_they_load_with_their_switches(name):
    config = ll.load(f"demo:{name}").model.config
    assert config.text_config.use_cache
    found = (config.separate_visual_qkv, config.visual_attention, config.vision_feature_layer)
    assert found == SWITCHES[name]


def test_llavit_reads_most_patches_of_the_examples():
    vlm = ll.load("demo:llavit")
    read, truth, picture = [], [], []
    for number, name in enumerate(example_names()):
        words = ll.logit_lens(vlm.trace(example_path(name)), k=3, layers=[2])
        known = example_truth(name)
        for row in range(8):
            for col in range(8):
                if known.thing(row, col) is not None:
                    read.append([w.word.strip() for w in words.at(2, row, col)])
                    truth.append(known.thing(row, col).words)
                    picture.append(number)
    chance = hit_rate(read, truth_of_other_pictures(truth, picture), 3)
    assert chance < 0.2 and hit_rate(read, truth, 3) > 0.75


def test_it_names_most_objects_of_the_examples():
    vlm = ll.load("demo:llavit")
    named = []
    for name in example_names():
        caption = vlm.generate(example_path(name), "what is in the picture ?").split()
        caption = {word.strip(".,") for word in caption}
        named += [thing.name in caption for thing in example_truth(name).scene.objects]
    assert sum(named) / len(named) > 0.7  # two or three of 107 names are right by chance
