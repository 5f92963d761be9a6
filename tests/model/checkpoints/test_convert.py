"""The folder that conversion writes: whole or not at all, with what it says it holds."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from llava_layouts import (
    inputs_of,
    reference,
    save_weights,
    weights_of,
    write_hugging_face,
    write_original,
)
from safetensors import safe_open
from tiny import tiny_image, tiny_llavit, tiny_processor
from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

from llavit_lens.errors import ConfigurationError
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.rows import ROWS
from llavit_lens.vlm.load import load

QKV = "model.language_model.layers.1.self_attn.{}_proj{}.{}"
LINEAR_1 = "model.multi_modal_projector.linear_1.weight"


@pytest.mark.long
@pytest.mark.parametrize("row", ROWS)
def test_every_row_of_the_tables(row: str, folder: Path, tmp_path: Path) -> None:
    switches = ROWS[row]
    layers = [1, 2] if switches.local_and_global else None
    target = convert(folder, tmp_path / "out", row, vision_feature_layer=layers)
    config = load(tmp_path / "out").model.config
    assert config.separate_visual_qkv == switches.separate_visual_qkv
    assert config.visual_attention == switches.visual_attention
    assert config.vision_feature_layer == (layers or -2)
    assert config.image_aspect_ratio == "pad"  # as in the source
    assert "its row of the word embeddings, which is never used" in target.notes[0]
    assert len(target.notes) == 1 + sum(
        [switches.separate_visual_qkv, switches.local_and_global, row_attends_anew(row)]
    )
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(note in card for note in target.notes)
    assert f"visual_attention: {switches.visual_attention}" in card


def row_attends_anew(row: str) -> bool:
    return ROWS[row].visual_attention != "causal"


def test_switches_besides_the_row(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "out", "llavit", False, "none", -2)
    config = load(tmp_path / "out").model.config
    assert (config.separate_visual_qkv, config.visual_attention) == (False, "none")


def test_visual_projections_are_copies(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "out", "separate_qkv")
    weights = weights_of(tmp_path / "out")
    for name in ("q", "k", "v"):
        for part in ("weight", "bias"):
            text = weights[QKV.format(name, "", part)]
            assert torch.equal(weights[QKV.format(name, "_visual", part)], text)
            assert text.std() > 0


@pytest.mark.long
@torch.no_grad()
@pytest.mark.parametrize("layers", [[1, 2], [2, 1], [2, 3, 0], [-2, 1]])
def test_more_vision_layers_leave_the_projector_as_it_was(
    layers: list[int], folder: Path, tmp_path: Path
) -> None:
    convert(folder, tmp_path / "wide", "baseline", vision_feature_layer=layers)
    before = load(folder)
    wide = load(tmp_path / "wide")
    weight = wide.model.state_dict()[LINEAR_1]
    blocks = dict(zip([layer % 4 for layer in layers], weight.split(32, dim=1), strict=True))
    assert torch.equal(blocks.pop(2), before.model.state_dict()[LINEAR_1])
    assert all((block == 0).all() for block in blocks.values())
    inputs = inputs_of(before.processor, before.model)
    # Sums over more columns round otherwise, in float32, some 1e-7 of logits of size 10.
    torch.testing.assert_close(
        wide.model(**inputs).logits, before.model(**inputs).logits, atol=1e-4, rtol=0
    )


def test_vision_layers_that_the_projector_does_not_know(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for layers, message in [
        ([1, 3], "was trained on vision layer 2, which vision_feature_layer=[1, 3] leaves out"),
        (-1, "was trained on vision layer 2"),
        ([2, 9], "the vision tower has layers 0 to 3"),
        ([], "the vision tower has layers 0 to 3"),
        (None, "those of a tower of 24 layers, and this one has 3; choose"),
    ]:
        with pytest.raises(ConfigurationError) as error:
            convert(folder, out, "llavit", vision_feature_layer=layers)
        assert message in str(error.value)
    assert "for example 1,2" in str(error.value)
    assert not out.exists()


def test_targets_that_make_no_sense(folder: Path, tmp_path: Path) -> None:
    for options, message in [
        ({"to": "lavit"}, "there are baseline,"),
        ({"to": "llava", "visual_attention": "none"}, "has no switches"),
        ({"to": "baseline", "visual_attention": "up"}, "is not one of"),
    ]:
        with pytest.raises(ConfigurationError, match=message):
            convert(folder, tmp_path / "out", **options)


def test_learned_visual_projections_are_kept(tmp_path: Path) -> None:
    model = tiny_llavit()
    model.save_pretrained(tmp_path / "x")
    tiny_processor().save_pretrained(tmp_path / "x")
    target = convert(tmp_path / "x", tmp_path / "out", "separate_qkv")
    weights = weights_of(tmp_path / "out")
    assert weights.keys() == model.state_dict().keys()
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert target.notes == (
        "Visual tokens attend otherwise (visual_attention=causal) than when the weights were "
        "trained.",
    )
    with pytest.raises(ConfigurationError, match="which would be lost; keep them"):
        convert(tmp_path / "x", tmp_path / "none", "baseline")
    with pytest.raises(ConfigurationError, match="--to baseline turns them off"):
        convert(tmp_path / "x", tmp_path / "none", "llava")
    assert not (tmp_path / "none").exists()


def test_plain_transformers_reads_the_plain_folder(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "out", "llava")
    model, report = AutoModelForImageTextToText.from_pretrained(
        tmp_path / "out", output_loading_info=True
    )
    assert type(model) is LlavaForConditionalGeneration
    assert not any(report.values())
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["architectures"] == ["LlavaForConditionalGeneration"]
    assert config["model_type"] == "llava"
    assert "mean of all others" in (tmp_path / "out" / "README.md").read_text()


def test_the_folder_tells_nothing_of_the_machine(folder: Path, tmp_path: Path) -> None:
    convert(folder, tmp_path / "out", "separate_qkv")
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"config.json", "README.md", "tokenizer.json", "generation_config.json"}
    for path in (tmp_path / "out").glob("*[!s]"):
        assert str(folder.parent).encode() not in path.read_bytes(), path.name


def test_a_padded_picture_is_traced(folder: Path, tmp_path: Path) -> None:
    """From an original that pads, to boxes on the image."""
    convert(folder, tmp_path / "out", "llavit", vision_feature_layer=[1, 2])
    trace = load(tmp_path / "out").trace(tiny_image(0, width=80, height=40), "What?")
    layout = trace.layout
    assert layout.grid == ((4, 4),) and layout.image_size == (80, 40)
    # A patch is 20 pixels of the square; its bars of 20 pixels are the first and last rows.
    for row in range(4):
        top, bottom = ((0, 0), (0, 20), (20, 40), (40, 40))[row]
        for col in range(4):
            index = layout.index(row, col)
            box = (20 * col, top, 20 * (col + 1), bottom)
            assert layout.boxes[index] == pytest.approx(box, abs=1e-9)
            assert layout.on_image[index] == (row in (1, 2))
    assert trace.hidden.shape[:2] == (4, 16) and trace.hidden.isfinite().all()


@pytest.mark.long
def test_a_source_processor_without_patch_size(tmp_path: Path) -> None:
    """As transformers saved them before 4.45."""
    folder = write_hugging_face(tmp_path / "x", reference(), "old", "safetensors", 1)
    settings = json.loads((folder / "processor_config.json").read_text())
    for key in ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens"):
        settings.pop(key)
    (folder / "processor_config.json").write_text(json.dumps(settings))
    for to in ("baseline", "llava"):
        convert(folder, tmp_path / to, to)
    for place in (folder, tmp_path / "baseline", tmp_path / "llava"):
        vlm = load(place)
        inputs = inputs_of(vlm.processor, vlm.model)
        assert (inputs["input_ids"] == vlm.image_token_id).sum() == 16
        assert vlm.trace(tiny_image()).hidden.isfinite().all()


def test_shards_and_their_index(folder: Path, tmp_path: Path, several_shards: None) -> None:
    convert(folder, tmp_path / "out", "separate_qkv")
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    shards = sorted(path.name for path in (tmp_path / "out").glob("*.safetensors"))
    assert len(shards) > 3 and shards == sorted(set(index["weight_map"].values()))
    total = 0
    for shard in shards:
        with safe_open(tmp_path / "out" / shard, "pt") as file:
            assert {index["weight_map"][key] for key in file.keys()} == {shard}  # noqa: SIM118
            assert file.metadata() == {"format": "pt"}
            total += sum(file.get_tensor(key).nbytes for key in file.keys())  # noqa: SIM118
    assert total == index["metadata"]["total_size"]


def test_bin_shards_that_share_storage(tmp_path: Path) -> None:
    """Two names for one tensor in a `.bin` file come out as two tensors."""
    model = reference()
    folder = write_original(tmp_path / "x", model)
    file = folder / "pytorch_model.bin"
    weights = torch.load(file)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
    torch.save(weights, file)
    convert(folder, tmp_path / "out", "baseline")
    written = weights_of(tmp_path / "out")
    table = written["model.language_model.embed_tokens.weight"]
    assert torch.equal(written["lm_head.weight"], table)


def test_nothing_that_exists_is_touched(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "full", "link"):
        with pytest.raises(ConfigurationError, match="is there already"):
            convert(folder, tmp_path / name, "baseline")
    with pytest.raises(ConfigurationError, match="there is no folder"):
        convert(folder, tmp_path / "no" / "out", "baseline")
    (tmp_path / "out.part").mkdir()
    (tmp_path / "out.part" / "thesis.tex").write_text("mine")
    with pytest.raises(ConfigurationError, match=r"out\.part: is in the way"):
        convert(folder, tmp_path / "out", "baseline")
    assert [path.read_text() for path in sorted(tmp_path.rglob("*")) if path.is_file()] == [
        "mine"
    ] * 3
    (tmp_path / "empty").mkdir()
    convert(folder, tmp_path / "empty", "baseline")
    assert load(tmp_path / "empty").image_token_id > 0


def test_the_empty_folder_one_is_in(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    convert(folder, Path("."), "llava")
    monkeypatch.chdir(tmp_path)  # the folder is another one now
    assert [entry.name for entry in tmp_path.iterdir()] == ["here"]
    assert (tmp_path / "here" / "config.json").is_file()


def test_helper_writes_what_it_says(tmp_path: Path) -> None:
    save_weights(tmp_path, {str(i): torch.full((2,), float(i)) for i in range(5)}, shards=2)
    assert {key: value[0].item() for key, value in weights_of(tmp_path).items()} == {
        str(i): float(i) for i in range(5)
    }
