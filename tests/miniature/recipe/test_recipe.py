"""The demo models' recipe: parts, variants, and a smoke run of the whole of it."""

import json
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from fonts import needs_font
from transformers import CLIPImageProcessorPil, CLIPVisionModel, Qwen2ForCausalLM

from llavit_lens.errors import ConfigurationError
from llavit_lens.miniature.recipe import pretrain_llm as pretrain_llm_module
from llavit_lens.miniature.recipe.contrastive_tower import ContrastiveTower, tower_config
from llavit_lens.miniature.recipe.documents import MIX, CollateDocuments, Document, Documents
from llavit_lens.miniature.recipe.initial_weights import induction_head, scale_residual_writes
from llavit_lens.miniature.recipe.presets import PRESETS
from llavit_lens.miniature.recipe.pretrain_llm import llm_config
from llavit_lens.miniature.recipe.pretrain_tower import to_pixel_values
from llavit_lens.miniature.recipe.shared_parts import prepare_shared
from llavit_lens.miniature.recipe.train import train_demo
from llavit_lens.miniature.recipe.variants import build_processor, build_variant
from llavit_lens.miniature.recipe.vocabulary import build_tokenizer
from llavit_lens.miniature.world.concepts import BACKGROUNDS, CONCEPTS, SIGN_WORDS
from llavit_lens.miniature.world.corpus import Corpus
from llavit_lens.miniature.world.render import render
from llavit_lens.miniature.world.scenes import (
    BACKGROUND_BOTTOM,
    BACKGROUND_TOP,
    GRID,
    MIXED,
    PATCH,
    SIZE,
    Scene,
    Truth,
    labels_of_patches,
    sample_scene,
)
from llavit_lens.miniature.world.word_maps import PLACE_WEIGHT, add_places, map_places, word_map
from llavit_lens.rows import ROWS
from llavit_lens.training.conversations import Encoded
from llavit_lens.training.run import Schedule
from llavit_lens.vlm.load import load

TOKENIZER = build_tokenizer()


def test_training_pixels_are_the_processors_pixels():
    pictures = np.random.default_rng(0).integers(0, 256, (3, 112, 112, 3), np.uint8)
    processor = build_processor(TOKENIZER).image_processor
    assert isinstance(processor, CLIPImageProcessorPil)
    expected = processor(list(pictures), return_tensors="pt")["pixel_values"]
    # both are float32; the processor rounds once more, when it rescales
    assert (to_pixel_values(pictures) - expected).abs().max() < 1e-6


def test_the_multi_instance_loss_wants_words_on_several_patches_and_only_where_they_are():
    words = torch.tensor([[True, False]])

    def loss(logits):
        return ContrastiveTower._multi_instance(torch.tensor([logits]), words).item()

    nowhere = [[-5.0, -5.0]] * 8
    once = [[5.0, -5.0], *nowhere[1:]]
    four_times = [[5.0, -5.0]] * 4 + nowhere[4:]
    wrong = [[5.0, 5.0]] * 4 + nowhere[4:]
    assert loss(four_times) < loss(once) < loss(nowhere) < loss(wrong)


def test_the_induction_head_reads_what_stood_behind_an_earlier_copy():
    torch.manual_seed(0)
    config = llm_config(TOKENIZER)
    model = Qwen2ForCausalLM._from_config(config, attn_implementation="eager")
    scale_residual_writes(model)
    half = torch.randint(10, 3000, (4, 20))
    ids = torch.cat([half, half], 1)

    def attention() -> tuple[float, float]:
        with torch.no_grad():
            first, second, *_ = model(input_ids=ids, output_attentions=True).attentions
        return first[:, 0].diagonal(-1, 1, 2).mean().item(), second[:, -1].diagonal(
            -19, 1, 2
        ).mean().item()

    previous, induction = attention()
    assert previous < 0.3 and induction < 0.3
    induction_head(model)
    previous, induction = attention()
    assert previous > 0.9 and induction > 0.5


class FewScenes:
    """A corpus without pictures: things own one patch each, and two corners are mixed."""

    count = 100

    def scene(self, index: int) -> Scene:
        return sample_scene(index)

    def truth(self, index: int) -> Truth:
        scene = self.scene(index)
        labels = np.full((GRID, GRID), BACKGROUND_TOP)
        labels[scene.horizon // PATCH :] = BACKGROUND_BOTTOM
        labels[0, 0] = labels[-1, 0] = MIXED
        for i, thing in enumerate(scene.things):
            labels[thing.y * GRID // SIZE, thing.x * GRID // SIZE] = i
        return Truth(scene, labels)


@pytest.mark.long
def test_documents_are_functions_of_their_index_and_hold_no_unknown_word():
    a, b = (Documents(TOKENIZER, FewScenes(), 5000) for _ in range(2))
    for i in [*range(300, 400), *range(4000, 4100)]:
        assert a[i] == b[i]
        assert TOKENIZER.unk_token_id not in a[i].text.input_ids
        assert TOKENIZER.image_token_id not in a[i].text.input_ids


def test_a_document_knows_where_its_map_stands():
    documents = Documents(TOKENIZER, FewScenes(), 5000)
    known = {w for c in CONCEPTS.values() for w in c.words} | {*BACKGROUNDS, "sign", "text"}
    known |= {*SIGN_WORDS, *SIGN_WORDS.values()}
    starts = set()
    for i in range(4000, 4200):
        text, at = documents[i]
        if at is not None:
            words = TOKENIZER.convert_ids_to_tokens(text.input_ids[at : at + GRID * GRID])
            assert set(words) <= known
            assert TOKENIZER.convert_ids_to_tokens(text.input_ids[at - 1]) == "\n" or at == 0
            starts.add(at)
    assert len(starts) == 2  # plain text, and a chat


def test_the_words_of_a_map_say_only_what_is_true_of_their_patch():
    rng = random.Random(0)
    seen = set()
    for seed in range(200):
        truth = FewScenes().truth(seed)
        for i, word in enumerate(word_map(truth, rng)):
            row, col = divmod(i, GRID)
            if truth.patch_labels[row, col] == MIXED:
                assert word == truth.scene.backgrounds[row * PATCH >= truth.scene.horizon]
            else:
                assert word in truth.words(row, col)
            seen.add(word)
    assert {"dog", "animal", "pet", "white", "sign", "sky"} <= seen


def test_places_are_added_to_the_words_of_maps_and_nowhere_else():
    torch.manual_seed(0)
    llm = Qwen2ForCausalLM(llm_config(TOKENIZER, width=64, layers=1)).model
    words = Encoded(TOKENIZER.convert_tokens_to_ids(["dog"] * (GRID * GRID + 6)), [])
    batch = CollateDocuments(TOKENIZER)([Document(words, 4), Document(words)])
    del batch["labels"]
    _, changed = add_places(llm, (), batch)
    embedding = llm.get_input_embeddings().weight
    dog, corner = embedding[TOKENIZER.convert_tokens_to_ids(["dog", "top-left"])]
    added = (changed["inputs_embeds"] - dog).abs().amax(-1) > 0
    assert added[0].nonzero().flatten().tolist() == list(range(4, 4 + GRID * GRID))
    assert not added[1].any()
    assert torch.equal(changed["inputs_embeds"][0, 4], dog + PLACE_WEIGHT * corner)
    places = map_places()
    assert (places[0], places[GRID - 1], places[-1]) == ("top-left", "top-right", "bottom-right")
    assert places[3 * GRID + 3] == places[4 * GRID + 4] == "center"


def test_variants_share_all_that_they_can():
    torch.manual_seed(1)
    tower = CLIPVisionModel(tower_config(width=64, layers=6))
    llm = Qwen2ForCausalLM(llm_config(TOKENIZER, width=64, layers=2))
    models = {n: build_variant(v, tower, llm, TOKENIZER, seed=3) for n, v in ROWS.items()}
    for name, model in models.items():
        weights = model.state_dict()
        for key, value in llm.model.state_dict().items():
            assert torch.equal(weights[f"model.language_model.{key}"], value)
            for part in ("q_proj", "k_proj", "v_proj"):
                copy = f"model.language_model.{key.replace(part, f'{part}_visual')}"
                if ROWS[name].separate_visual_qkv and f".{part}." in key:
                    assert torch.equal(weights[copy], value)
        for key, value in tower.state_dict().items():
            assert torch.equal(weights[f"model.vision_tower.{key}"], value)
    first, second = (f"model.multi_modal_projector.linear_{i}.weight" for i in (1, 2))
    starts = {name: (model.state_dict()[first], model.state_dict()[second])
              for name, model in models.items()}  # fmt: skip
    for name, (weight, other) in starts.items():
        like = "llavit" if ROWS[name].local_and_global else "baseline"
        assert torch.equal(weight, starts[like][0])
        assert torch.equal(other, starts["baseline"][1])
        assert not torch.equal(weight, other)
    assert starts["llavit"][0].shape[1] == 3 * 64
    again = build_variant(ROWS["baseline"], tower, llm, TOKENIZER, seed=4)
    assert not torch.equal(again.state_dict()[first], starts["baseline"][0])


def test_unknown_names_are_one_clear_error(tmp_path):
    with pytest.raises(ConfigurationError, match="no variant 'llava'; there are: baseline"):
        train_demo("llava", 0, tmp_path)
    with pytest.raises(ConfigurationError, match="no preset 'huge'; there are: cpu"):
        train_demo("llavit", 0, tmp_path, preset="huge")


@pytest.mark.long
@needs_font
def test_a_smoke_run_makes_a_model_that_loads_and_is_not_made_twice(tmp_path):
    folder = train_demo("llavit", 0, tmp_path, preset="smoke")
    scores = json.loads((folder / "scores.json").read_text())
    for stage in ("stage 1", "stage 2"):
        layers = scores["scores"][stage]["layers"]
        assert [row["layer"] for row in layers] == list(range(7))
        assert scores["losses"][stage] and min(scores["losses"][stage]) > 0
    assert str(tmp_path) not in (folder / "config.json").read_text()
    assert "miniature" in (folder / "README.md").read_text()
    vlm = load(str(folder))
    assert vlm.model.config.separate_visual_qkv
    assert vlm.model.config.visual_attention == "bidirectional"
    made = (folder / "model.safetensors").stat().st_mtime_ns
    assert train_demo("llavit", 0, tmp_path, preset="smoke") == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == made
    with pytest.raises(ConfigurationError, match="another recipe"):
        train_demo("llavit", 1, tmp_path, preset="cpu")


@pytest.mark.long
def test_pretraining_tells_the_model_the_places_and_leaves_no_hook(tmp_path, monkeypatch):
    told = []

    def spy(llm, args, kwargs):
        told.append((kwargs["place_ids"] >= 0).any().item())
        return add_places(llm, args, kwargs)

    monkeypatch.setattr(pretrain_llm_module, "add_places", spy)
    schedule = Schedule(3, 8, 1e-3)
    llm = pretrain_llm_module.pretrain_llm(
        tmp_path / "llm", FewScenes(), TOKENIZER, schedule, layers=2
    )
    assert len(told) == 3 and any(told)
    ids = torch.tensor([[5, 6, 7]])
    plain = Qwen2ForCausalLM.from_pretrained(tmp_path / "llm", attn_implementation="eager")
    assert plain.config.use_cache
    assert torch.equal(llm.float()(input_ids=ids).logits, plain.float()(input_ids=ids).logits)


@pytest.mark.long
@needs_font
def test_shared_parts_of_another_text_are_refused(tmp_path, monkeypatch):
    prepare_shared(tmp_path, PRESETS["smoke"])
    monkeypatch.setitem(MIX, "table", (0.0, 0.0))
    with pytest.raises(ConfigurationError, match="another recipe"):
        prepare_shared(tmp_path, PRESETS["smoke"])


@needs_font
def test_the_corpus_is_what_the_scenes_say_and_is_drawn_once(tmp_path):
    corpus = Corpus(tmp_path, 5)
    picture, labels = render(sample_scene(3))
    assert np.array_equal(corpus.images[3], np.asarray(picture))
    assert np.array_equal(corpus.truth(3).patch_labels, labels_of_patches(labels))
    drawn = (tmp_path / "pictures.npy").stat().st_mtime_ns
    assert Corpus(tmp_path, 5).count == 5
    assert (tmp_path / "pictures.npy").stat().st_mtime_ns == drawn
    assert len(Corpus(tmp_path, 6).images) == 6


ENDLESS = """
import sys, time
from llavit_lens.miniature.recipe.processes import in_processes

def job():
    print("at work", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    in_processes([(job, ())])
"""


@pytest.mark.long
def test_a_killed_command_leaves_no_training_behind(tmp_path):
    (tmp_path / "endless.py").write_text(ENDLESS)
    command = subprocess.Popen(
        [sys.executable, str(tmp_path / "endless.py")], stdout=subprocess.PIPE, text=True
    )
    assert command.stdout.readline() == "at work\n"
    command.kill()
    command.communicate(timeout=60)  # the pipe ends when the last process that writes to it has
