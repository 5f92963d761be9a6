"""The checkpoints that ship: small, ordinary, loadable like any other, and readable."""

import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from fonts import needs_font
from safetensors import safe_open
from transformers import AutoTokenizer, CLIPVisionModel, Qwen2ForCausalLM

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.benchmark.score import truth_of_other_scenes
from llavit_lens.miniature.recipe import shared_parts
from llavit_lens.miniature.recipe.presets import PRESETS
from llavit_lens.miniature.recipe.shared_parts import SHIPPED, is_shipped, shared_recipe
from llavit_lens.miniature.recipe.vocabulary import build_tokenizer
from llavit_lens.miniature.world.scenes import example_names, example_path, example_truth

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


@pytest.mark.long
def test_the_parts_that_ship_are_of_the_recipe_and_world_of_today():
    assert is_shipped(shared_recipe(PRESETS["cpu"]))
    assert not is_shipped(shared_recipe(PRESETS["smoke"]))
    assert sum(f.stat().st_size for f in SHIPPED.rglob("*") if f.is_file()) <= 10e6
    tower = CLIPVisionModel.from_pretrained(SHIPPED / "tower")
    llm = Qwen2ForCausalLM.from_pretrained(SHIPPED / "llm")
    tokenizer = AutoTokenizer.from_pretrained(SHIPPED / "tokenizer")
    assert tokenizer.get_vocab() == build_tokenizer().get_vocab()
    preset = PRESETS["cpu"]
    assert len(tokenizer) == llm.config.vocab_size
    assert llm.config.hidden_size == tower.config.hidden_size == preset.width


@pytest.mark.long
@needs_font
def test_a_run_starts_from_the_parts_that_ship_unless_told_otherwise(tmp_path, monkeypatch):
    preset = replace(PRESETS["cpu"], scenes=60)
    recipe = shared_recipe(preset)
    monkeypatch.setattr(shared_parts, "shared_recipe", lambda _: {**recipe, "scenes": 40_000})
    pretrained = []
    monkeypatch.setattr(shared_parts, "in_processes", pretrained.append)
    shared_parts.prepare_shared(tmp_path / "ours", preset)
    for part in ("tower", "llm"):
        ours, copy = (home / part / "model.safetensors" for home in (SHIPPED, tmp_path / "ours"))
        assert ours.read_bytes() == copy.read_bytes()
    assert pretrained == [[]]
    shared_parts.prepare_shared(tmp_path / "anew", preset, anew=True)
    assert [job for job, _ in pretrained[1]] == [shared_parts.train_tower, shared_parts.train_llm]
    with pytest.raises(ConfigurationError, match="another recipe"):
        shared_parts.prepare_shared(tmp_path / "ours", preset, anew=True)


@pytest.mark.long
@pytest.mark.parametrize("name", SWITCHES)
def test_they_load_with_their_switches(name):
    config = ll.load(f"demo:{name}").model.config
    assert config.text_config.use_cache
    found = (config.separate_visual_qkv, config.visual_attention, config.vision_feature_layer)
    assert found == SWITCHES[name]


@pytest.mark.long
def test_llavit_reads_most_patches_of_the_examples():
    vlm = ll.load("demo:llavit")
    read, truth, scene = [], [], []
    for number, name in enumerate(example_names()):
        words = ll.logit_lens(vlm.trace(example_path(name)), k=3, layers=[2])
        known = example_truth(name)
        for row in range(8):
            for col in range(8):
                if known.thing(row, col) is not None:
                    read.append({w.word.strip() for w in words.at(2, row, col)})
                    truth.append(known.thing(row, col).words)
                    scene.append(number)
    other = truth_of_other_scenes(truth, scene)
    chance, hits = (
        [bool(said & words) for said, words in zip(read, true, strict=True)]
        for true in (other, truth)
    )
    assert sum(chance) / len(chance) < 0.2 and sum(hits) / len(hits) > 0.75


@pytest.mark.long
def test_it_names_most_objects_of_the_examples():
    vlm = ll.load("demo:llavit")
    named = []
    for name in example_names():
        caption = vlm.generate(example_path(name), "what is in the picture ?").split()
        caption = {word.strip(".,") for word in caption}
        named += [thing.name in caption for thing in example_truth(name).scene.objects]
    assert sum(named) / len(named) > 0.7  # two or three of 107 names are right by chance
