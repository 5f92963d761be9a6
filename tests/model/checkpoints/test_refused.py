"""What does not load says why, in one line, and before anything is written."""

from __future__ import annotations

import json
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from llava_layouts import (
    original_config,
    reference,
    save_weights,
    write_base,
    write_config,
    write_hugging_face,
    write_original,
    write_projector,
)
from safetensors.torch import load_file, save_file

from llavit_lens.errors import CheckpointError, LlavitLensError
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.model.checkpoints.source import open_source
from llavit_lens.model.checkpoints.weights import Reader
from llavit_lens.rows import ROWS
from llavit_lens.vlm.load import load

UP = "model.layers.1.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good checkpoint of each kind, to be copied and spoiled."""
    place = tmp_path_factory.mktemp("originals")
    model = reference()
    write_original(place / "bin", model, shards=2)
    write_original(place / "safetensors", model, suffix="safetensors", shards=2)
    write_original(place / "whole", model, suffix="safetensors")
    write_original(place / "inside", model, tower=True, suffix="safetensors")
    write_projector(place / "projector", model)
    write_base(place / "base", model)
    write_hugging_face(place / "hf", model, "old", "safetensors", 1)
    return place


@pytest.fixture
def spoil(originals: Path, tmp_path: Path) -> Callable[[str], Path]:
    return lambda kind: Path(shutil.copytree(originals / kind, tmp_path / kind))


def fails(folder: Path, **options: Any) -> str:
    """The error of loading, which is that of converting too; nothing is written."""
    with pytest.raises(LlavitLensError) as loading:
        load(folder, **options)
    out = folder.with_name("out")
    with pytest.raises(LlavitLensError) as converting:
        convert(folder, out, "baseline", **options)
    message = str(converting.value)
    assert str(loading.value) == message
    assert "\n" not in message and len(message) < 700
    assert not out.exists() and not out.with_name("out.part").exists()
    return message


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_weights(folder, weights)


def configure(folder: Path, **changes: Any) -> None:
    fields = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**fields, **changes}))


def test_missing_key(spoil: Any) -> None:
    folder = spoil("whole")
    edit(folder, lambda weights: weights.pop(UP))
    assert "missing: model.language_model.layers.1.mlp.up_proj.weight" in fails(folder)
    edit(folder, lambda weights: weights.pop("lm_head.weight"))
    assert "lm_head.weight" in fails(folder)


@pytest.mark.long
@pytest.mark.parametrize(
    "key",
    [
        "adapter.weight",
        "model.layers.99.mlp.up_proj.weight",
        "model.mm_projector.4.weight",
        "model.vision_resampler.query",
        "model.image_newline",
        "lm_head.bias",
        "model.layers.0.self_attn.q_proj_visual.weight",
        "prefix.model.norm.weight",
    ],
)
def test_foreign_key(key: str, spoil: Any) -> None:
    folder = spoil("whole")
    edit(folder, lambda weights: weights.update({key: torch.zeros(2)}))
    assert f"foreign: {key}" in fails(folder)


def test_wrong_shape_and_type(spoil: Any) -> None:
    folder = spoil("whole")
    edit(folder, lambda weights: weights.update({UP: torch.zeros(3, 4)}))
    assert "up_proj.weight ([3, 4] instead of [96, 48])" in fails(folder)
    edit(folder, lambda weights: weights.update({UP: torch.zeros(96, 48, dtype=torch.int8)}))
    message = fails(folder)
    assert "not floating-point: " in message and "up_proj.weight (int8)" in message


def test_a_key_under_two_names(spoil: Any) -> None:
    folder = spoil("hf")
    alias = "model.multi_modal_projector.linear_1.bias"
    edit(folder, lambda weights: weights.update({alias: torch.zeros(48)}))
    assert f"there twice: {alias} and multi_modal_projector.linear_1.bias" in fails(folder)


@pytest.mark.long
@pytest.mark.parametrize("layout", ["old", "middle", "new"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.int64, torch.bool])
def test_weights_that_are_no_floats(dtype: torch.dtype, layout: str, tmp_path: Path) -> None:
    """transformers would load them, rounded."""
    folder = write_hugging_face(tmp_path / "x", reference(), layout, "safetensors", 1)
    weights = load_file(folder / "model.safetensors")
    norm = next(key for key in weights if key.endswith("layers.0.input_layernorm.weight"))
    edit(folder, lambda weights: weights.update({norm: weights[norm].to(dtype)}))
    name = str(dtype).removeprefix("torch.")
    assert f"not floating-point: {norm} ({name})" in fails(folder)


@pytest.mark.long
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_tied_head_in_a_hugging_face_folder(suffix: str, tmp_path: Path) -> None:
    model = reference(tied=True)
    folder = write_hugging_face(tmp_path / "x", model, "new", suffix, 1)
    table = model.state_dict()["lm_head.weight"]
    for head, fault in [
        (table, None),
        (table + 1, "ties lm_head.weight to the word embeddings, but the two differ"),
        (table[:-1], "of another shape: lm_head.weight"),
    ]:
        save_weights(folder, {**model.state_dict(), "lm_head.weight": head}, suffix)
        if fault is None:
            assert load(folder).model.lm_head.weight.equal(table)
        else:
            assert fault in fails(folder)


def test_keys_of_a_hugging_face_folder(spoil: Any) -> None:
    folder = spoil("hf")
    edit(folder, lambda weights: weights.update({"adapter.weight": torch.zeros(2)}))
    edit(folder, lambda weights: weights.pop("language_model.lm_head.weight"))
    message = fails(folder)
    assert "missing: lm_head.weight" in message and "foreign: adapter.weight" in message
    configure(folder, model_type="llava", quantization_config={"load_in_4bit": True})
    with pytest.raises(CheckpointError, match="is quantized"):  # in formats of LLaVA's own
        open_source(folder)
    if find_spec("bitsandbytes") is None:  # transformers would load it
        with pytest.raises(CheckpointError, match="requires bitsandbytes"):
            load(folder)


def test_a_key_in_two_shards(spoil: Any) -> None:
    folder = spoil("safetensors")
    first, second = sorted(folder.glob("*.safetensors"))
    shutil.copy(first, second)
    assert f"is in {first.name} and in {second.name}" in fails(folder)


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
@pytest.mark.parametrize("kept", [0, 3, 40, 3000, -30])
def test_cut_off_shard(kind: str, kept: int, spoil: Any) -> None:
    folder = spoil(kind)
    shard = sorted(folder.glob(f"*-00002-*.{kind}"))[0]
    shard.write_bytes(shard.read_bytes()[:kept])
    assert f"{shard.name} is damaged or cut off" in fails(folder)


@pytest.mark.parametrize("kind", ["bin", "safetensors"])
def test_index_that_names_what_is_not_there(kind: str, spoil: Any) -> None:
    folder = spoil(kind)
    shard = sorted(folder.glob(f"*-00002-*.{kind}"))[0]
    shard.unlink()
    assert f"index.json names {shard.name}, which is not there" in fails(folder)


def test_damaged_index(spoil: Any) -> None:
    folder = spoil("bin")
    index = folder / "pytorch_model.bin.index.json"
    for text, message in [
        ("", "pytorch_model.bin.index.json: is no JSON"),
        ("[]", "pytorch_model.bin.index.json has no weight_map"),
        ('{"weight_map": 3}', "pytorch_model.bin.index.json has no weight_map"),
        ('{"weight_map": {}}', "pytorch_model.bin.index.json has no weight_map"),
        ('{"weight_map": {"a": 5}}', "names 5, which is no file name"),
        ('{"weight_map": {"a": "%s.bin"}}' % ("x" * 300), "File name too long"),
        ('{"weight_map": {"a": "a\\u0000b"}}', "embedded null byte"),
        ("[" * 100_000, "nested too deeply"),
    ]:
        index.write_text(text)
        assert message in fails(folder)
    index.write_text('{"weight_map": {"a": "../../secret.bin"}}')
    assert "which is no file name" in fails(folder)


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("legacy", [False, True])
def test_pickled_code_is_not_run(legacy: bool, spoil: Any, tmp_path: Path) -> None:
    folder = spoil("bin")
    evil = Evil(tmp_path / "it ran")
    pickle.loads(pickle.dumps(evil))  # it would
    evil.trace.unlink()
    shard = sorted(folder.glob("*-00001-*.bin"))[0]
    if legacy:
        shard.write_bytes(pickle.dumps({"model.norm.weight": evil}, protocol=2))
    else:
        torch.save({"model.norm.weight": evil}, shard)
    assert "holds code, which is never run" in fails(folder)
    assert not evil.trace.exists()


def test_a_bin_file_of_something_else(spoil: Any) -> None:
    folder = spoil("bin")
    shard = sorted(folder.glob("*-00001-*.bin"))[0]
    for contents in ([torch.zeros(1)], {"epoch": 3}, {1: torch.zeros(1)}):
        torch.save(contents, shard)
        assert "is no table of named tensors" in fails(folder)


def test_files_of_torch_before_2020_load(spoil: Any) -> None:
    folder = spoil("bin")
    for shard in folder.glob("*.bin"):
        torch.save(torch.load(shard), shard, _use_new_zipfile_serialization=False)
    assert load(folder).model.dtype == torch.float32


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mm_vision_tower": None}, "names no vision tower"),
        ({"mm_projector_type": "linear"}, "its projector is 'linear'"),
        ({"mm_projector_type": "mlp3x_gelu"}, "its projector is 'mlp3x_gelu'"),
        ({"mm_resampler_type": "qformer"}, "resamples visual tokens (qformer)"),
        ({"mm_use_im_start_end": True}, "mm_use_im_start_end"),
        ({"s2": True}, "several scales"),
        ({"image_aspect_ratio": "anyres_max_9"}, "image_aspect_ratio='anyres_max_9' is none"),
        ({"image_aspect_ratio": "anyres"}, "image_grid_pinpoints=None is no list"),
        (
            {"image_aspect_ratio": "anyres", "mm_patch_merge_type": "maxpool2x2"},
            "mm_patch_merge_type='maxpool2x2'",
        ),
        (
            {
                "mm_vision_select_feature": "cls_patch",
                "image_aspect_ratio": "anyres",
                "image_grid_pinpoints": [[28, 56]],
            },
            "every tile of an image keeps its class token (mm_vision_select_feature='cls_patch' "
            "with image_aspect_ratio='anyres')",
        ),
        ({"mm_vision_select_feature": "slice"}, "mm_vision_select_feature='slice'"),
        ({"model_type": "llava_mpt"}, "model_type 'llava_mpt' is not supported"),
        ({"model_type": "llava_llama"}, "foreign: model.layers.0.self_attn.k_proj.bias"),
        ({"quantization_config": {"load_in_4bit": True}}, "is quantized"),
        ({"mm_vision_tower": "nobody/no-tower"}, "--vision-tower"),
        ({"mm_vision_tower": "nowhere"}, "--vision-tower"),
        ({"num_hidden_layers": 4}, "missing: model.language_model.layers.3."),
        ({"num_hidden_layers": 2}, "foreign: model.layers.2."),
        ({"vocab_size": 17}, "instead of [17, 48]"),
        ({"mm_vision_select_layer": "-2"}, "mm_vision_select_layer='-2'"),
        ({"mm_vision_select_layer": 99}, "layers 0 to 3, or -4 to -1"),
        ({"hidden_act": "foo"}, "KeyError: 'foo'"),
        ({"rope_scaling": {"type": "foo", "factor": 2.0}}, "configuration"),
        ({"num_attention_heads": 0}, "configuration"),
    ],
)
def test_settings_that_are_not_served(change: Any, message: str, spoil: Any) -> None:
    folder = spoil("whole")
    configure(folder, **change)
    assert message in fails(folder)


def test_lora(spoil: Any) -> None:
    folder = spoil("whole")
    (folder / "adapter_config.json").write_text("{}")
    assert "is a LoRA adapter" in fails(folder)
    (folder / "config.json").unlink()
    assert "is a LoRA adapter" in fails(folder)


def test_no_weights(spoil: Any) -> None:
    folder = spoil("whole")
    (folder / "model.safetensors").unlink()
    assert "holds no weights" in fails(folder)


def test_projector_without_its_base(spoil: Any) -> None:
    projector, base = spoil("projector"), spoil("base")
    assert "give the folder of that (--base)" in fails(projector)
    assert "the form owner/name" in fails(projector, base=projector / "nowhere")
    assert "--base" in fails(projector, base=spoil("whole"))
    configure(base, hidden_size=40)
    assert "instead of" in fails(projector, base=base)
    configure(base, hidden_size=48, model_type="gpt2")
    assert "a base of type 'gpt2' is not supported" in fails(projector, base=base)


def test_parts_that_are_not_needed(spoil: Any) -> None:
    whole = spoil("whole")
    assert "leave out --base" in fails(whole, base=spoil("base"))
    assert "leave out --vision-tower" in fails(spoil("hf"), vision_tower=whole)


def test_a_tower_besides_the_own_one(spoil: Any, originals: Path) -> None:
    folder, tower = spoil("inside"), originals / "inside-tower"
    (note, _) = open_source(folder, vision_tower=tower).notes
    assert "weights of the vision tower are the checkpoint's own" in note
    configure(folder, mm_vision_tower="openai/clip-vit-large-patch14-336")
    assert "holds its own vision tower; leave out" in fails(folder, vision_tower=tower)


def test_a_tower_of_another_size(spoil: Any, originals: Path) -> None:
    folder = spoil("inside")
    tower = Path(shutil.copytree(originals / "inside-tower", folder.with_name("tower")))
    fields = json.loads((tower / "config.json").read_text())
    fields["vision_config"]["num_hidden_layers"] = 2
    (tower / "config.json").write_text(json.dumps(fields))
    assert "vision_model.encoder.layers.2" in fails(folder, vision_tower=tower)
    write_config(tower, {"model_type": "bert"})
    assert "no vision tower" in fails(folder, vision_tower=tower)


def test_tied_head_that_differs(tmp_path: Path) -> None:
    model = reference()
    folder = write_original(tmp_path / "x", model, tie_word_embeddings=True)
    assert "ties lm_head.weight to the word embeddings, but the two differ" in fails(folder)


def test_a_tokenizer_of_another_vocabulary(tmp_path: Path) -> None:
    model = reference()
    folder = write_original(tmp_path / "x", model, rows=100)
    assert "ids up to" in fails(folder)
    (folder / "tokenizer.json").unlink()
    assert "its tokenizer cannot be loaded" in fails(folder)


def test_other_models(tmp_path: Path) -> None:
    folder = write_base(tmp_path / "x", reference())
    with pytest.raises(LlavitLensError, match="a qwen2 model is neither LLaVA nor LLaViT"):
        convert(folder, tmp_path / "out")
    with pytest.raises(LlavitLensError, match=r"has no config\.json"):
        convert(tmp_path, tmp_path / "out")
    (folder / "config.json").write_text("{")
    with pytest.raises(LlavitLensError, match=r"config\.json: is no JSON"):
        convert(folder, tmp_path / "out")


@pytest.mark.long
@pytest.mark.parametrize("to", [*ROWS, "llava"])
def test_tiles_of_another_processor(to: str, tmp_path: Path) -> None:
    """What the model and its processor say about tiles has to agree."""
    folder = write_hugging_face(
        tmp_path / "x", reference("llama", next_=True), "new", "safetensors", 1
    )
    configure(folder, image_grid_pinpoints=[[28, 56]])
    with pytest.raises(LlavitLensError, match="model and processor do not belong together"):
        convert(folder, tmp_path / "out", to)
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_a_class_token_in_every_tile(tmp_path: Path) -> None:
    """As in the original format: found at once, and not with the first image."""
    folder = write_hugging_face(
        tmp_path / "x", reference("llama", next_=True), "new", "safetensors", 1
    )
    configure(folder, vision_feature_select_strategy="full")
    assert "keeps the class token of every tile" in fails(folder)
    folder = write_original(tmp_path / "y", reference("llama", next_=True))
    convert(folder, tmp_path / "good", "separate_qkv")
    with pytest.raises(LlavitLensError, match="keeps the class token of every tile"):
        load(tmp_path / "good", vision_feature_select_strategy="full")
    # without tiles it is an ordinary setting, and SigLIP has no class token to keep
    load(write_original(tmp_path / "a", reference(), mm_vision_select_feature="cls_patch"))
    siglip = {"image_aspect_ratio": "anyres", "image_grid_pinpoints": [[28, 56]]}
    folder = write_original(
        tmp_path / "b", reference(siglip=3), mm_vision_select_feature="cls_patch", **siglip
    )
    assert load(folder).model.config.vision_feature_select_strategy == "full"


def test_a_newline_that_no_row_ends_with(tmp_path: Path) -> None:
    model = reference("llama", next_=True)
    folder = write_original(tmp_path / "x", model, mm_patch_merge_type="spatial")
    assert "foreign: model.image_newline" in fails(folder)


def test_settings_of_the_helper_are_those_that_are_served(tmp_path: Path) -> None:
    """The good checkpoints of this file load: what is refused above is refused for its change."""
    model = reference()
    assert load(write_original(tmp_path / "x", model)).image_token_id > 0
    assert original_config(model, tmp_path)["mm_projector_type"] == "mlp2x_gelu"


def test_weights_that_end_like_an_archive_are_no_archive(tmp_path: Path) -> None:
    """A `.safetensors` file may hold any bytes."""
    end = b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, 46, 0, 0)  # of an archive, damaged
    file = tmp_path / "model.safetensors"
    save_file({"x": torch.frombuffer(bytearray(end), dtype=torch.bfloat16)}, file)
    assert zipfile.is_zipfile(file)
    assert Reader().open([file])["x"].shape == (11,)
