"""Checkpoints that contradict themselves, and calls that make no sense: one line each."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from llava_layouts import reference, write_hugging_face, write_original
from tiny import tiny_image, tiny_llava, tiny_llavit, tiny_processor
from tiny_vlm import plain_processor
from transformers import BitsAndBytesConfig, GenerationConfig

from llavit_lens.errors import ConfigurationError, LlavitLensError
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.vlm import hugging_face
from llavit_lens.vlm.answers import answer_log_prob
from llavit_lens.vlm.hugging_face import take_arguments
from llavit_lens.vlm.load import load
from llavit_lens.vlm.vlm import VLM


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("saved") / "x"
    tiny_llava().save_pretrained(place)
    plain_processor().save_pretrained(place)
    (place / "generation_config.json").write_text("{}")
    return place


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "x"))


@pytest.fixture(scope="module")
def vlm() -> VLM:
    return VLM(tiny_llavit(), tiny_processor(), "tiny")


def fails(folder: Path | str, **options: Any) -> str:
    """The error of `load`, which `convert` has too."""
    with pytest.raises(LlavitLensError) as error:
        load(folder, **options)
    message = str(error.value)
    assert "\n" not in message and len(message) < 900
    if not options:
        assert isinstance(folder, Path)
        with pytest.raises(LlavitLensError) as error:
            convert(folder, folder.with_name("out"), "baseline")
        assert not folder.with_name("out").exists()
    return message


def edit(file: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    fields = json.loads(file.read_text())
    change(fields)
    file.write_text(json.dumps(fields))


SMALL = ["config.json", "tokenizer.json", "processor_config.json", "generation_config.json"]


@pytest.mark.long
@pytest.mark.parametrize("name", [*SMALL, "tokenizer_config.json", "chat_template.json"])
def test_small_files_that_are_none(name: str, copy: Path) -> None:
    file = copy / name
    for content, expected in [
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a": "\xff"}', "is not text in UTF-8"),
        (b"{", "is no JSON"),
        (b"[]", "holds no JSON object"),
    ]:
        file.write_bytes(content)
        message = fails(copy)
        assert expected in message and name in message
    file.unlink()
    os.mkfifo(file)
    assert f"{name}: is not a regular file" in fails(copy)
    file.unlink()
    file.symlink_to(file)
    assert f"{name}: cannot be read" in fails(copy)
    file.unlink()
    file.mkdir()
    assert f"{name}: is a folder" in fails(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "mm_projector.bin"])
def test_weights_that_are_no_file(name: str, copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    if name == "mm_projector.bin":
        edit(copy / "config.json", lambda fields: fields.update(mm_vision_tower="tower"))
    os.mkfifo(copy / name)
    assert f"{name}: is not a regular file" in fails(copy)


_SIZES = [
    ("num_hidden_layers", 10**9),
    ("num_hidden_layers", 10**6),
    ("num_hidden_layers", -1),
    ("num_hidden_layers", 1e9),
    ("num_hidden_layers", "3"),
    ("hidden_size", 10**12),
    ("hidden_size", 10**9),
    ("intermediate_size", 2.5),
    ("num_attention_heads", -1),
]


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        *(("text_config", *size) for size in [*_SIZES, ("vocab_size", 10**12)]),
        *(("vision_config", *size) for size in [*_SIZES, ("patch_size", -7)]),
    ],
)
def test_sizes_that_no_weights_have(part: str, key: str, value: Any, copy: Path) -> None:
    edit(copy / "config.json", lambda fields: fields[part].update({key: value}))
    message = fails(copy)
    assert key in message or "of another shape" in message


def test_contradictions_are_found_before_the_weights_are_read(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sys.modules["llavit_lens.vlm.load"]  # the package has the function of this name
    monkeypatch.setattr(module, "_read", lambda source: pytest.fail("read"))
    size = {"height": 224, "width": 224}
    edit(copy / "processor_config.json", lambda f: f["image_processor"].update(crop_size=size))
    assert "the vision tower sees 28 x 28 pixels" in fails(copy)


def test_a_processor_without_the_number_of_class_tokens(copy: Path, saved: Path) -> None:
    edit(copy / "processor_config.json", lambda fields: fields.pop("num_additional_image_tokens"))
    expected = load(saved).trace(tiny_image()).hidden
    assert torch.equal(load(copy).trace(tiny_image()).hidden, expected)
    convert(copy, copy.with_name("out"), "baseline")
    written = json.loads((copy.with_name("out") / "processor_config.json").read_text())
    assert written["num_additional_image_tokens"] == 1


def test_a_tokenizer_alone_is_no_processor(copy: Path) -> None:
    edit(copy / "processor_config.json", lambda fields: fields.update(processor_class="Nonsense"))
    assert "no processor for images" in fails(copy)


def test_damaged_files_are_named(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{}")
    assert "its tokenizer cannot be loaded" in fails(copy)
    (copy / "tokenizer.json").unlink()
    assert "tokenizer cannot be loaded" in fails(copy)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", ""])
def test_files_without_permission_are_not_to_be_fetched_again(name: str, copy: Path) -> None:
    load(copy)  # import all modules first: the user nobody may not read them
    for folder in (copy, *copy.parents[:-2]):
        folder.chmod(0o755)
    (copy / name).chmod(0o700 if name == "" else 0o600)
    os.seteuid(65534)
    try:
        message = fails(copy)
    finally:
        os.seteuid(0)
    assert "cannot be read (Permission denied)" in message and "again" not in message


def test_a_generation_config_that_makes_no_sense(copy: Path) -> None:
    (copy / "generation_config.json").write_text('{"max_new_tokens": -5, "num_beams": "x"}')
    with pytest.raises(LlavitLensError, match="generation"):
        load(copy).generate(tiny_image())


def test_bin_files_with_flipped_bits(tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "x", reference(), "old", "bin", 1)
    load(folder)
    file = folder / "pytorch_model.bin"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert "pytorch_model.bin is damaged" in fails(folder)


def test_bin_files_without_checksums_load(tmp_path: Path) -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        folder = write_hugging_face(tmp_path / "x", reference(), "old", "bin", 1)
    finally:
        torch.serialization.set_crc32_options(before)
    assert load(folder).trace(tiny_image()).hidden.isfinite().all()


def test_bin_files_with_tensors_of_other_kinds(tmp_path: Path) -> None:
    folder = write_hugging_face(tmp_path / "x", reference(), "old", "bin", 1)
    file = folder / "pytorch_model.bin"
    weights = torch.load(file, weights_only=True)
    key = next(key for key in weights if key.endswith("up_proj.weight"))
    torch.save({**weights, key: weights[key].to_sparse()}, file)
    assert f"{key} in pytorch_model.bin is no dense tensor" in fails(folder)


def test_rope_settings_of_an_original_checkpoint_are_not_blamed_on_its_tokenizer(
    tmp_path: Path,
) -> None:
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}
    folder = write_original(tmp_path / "x", reference(), rope_scaling=yarn)
    assert load(folder).trace(tiny_image()).hidden.isfinite().all()


@pytest.mark.parametrize(
    "tower",
    ["~nobody-of-this-name/x", "x" * 300, "a\0b", "http://a.org/b", "/dev/zero", "\ud800", "a\nb"],
)
def test_names_of_towers_that_no_folder_has(tower: str, tmp_path: Path) -> None:
    folder = write_original(tmp_path / "x", reference())
    edit(folder / "config.json", lambda fields: fields.update(mm_vision_tower=tower))
    assert fails(folder).isprintable()
    assert fails(folder, vision_tower=tower).isprintable()


def test_what_load_does_not_take_says_what_to_do(saved: Path) -> None:
    for option, expected in [
        ("load_in_4bit", "quantization_config=BitsAndBytesConfig(load_in_4bit=True, "),
        ("load_in_8bit", "llm_int8_skip_modules=['lm_head']"),
        ("subfolder", "ll.load(model, processor=processor)"),
        ("cache_dir", "HF_HUB_CACHE"),
        ("token", "hf auth login"),
        ("trust_remote_code", "is never run"),
    ]:
        message = fails(saved, **{option: "auto"})
        assert f"load has no {option}; " in message and expected in message
        assert fails(saved, **{option: None}, device="nonsense").startswith("device 'nonsense'")


def test_arguments_of_transformers_that_are_taken(saved: Path) -> None:
    vlm = load(
        saved,
        torch_dtype=torch.bfloat16,
        device_map={"": "cpu"},
        low_cpu_mem_usage=True,
        trust_remote_code=False,
        use_safetensors=True,
        max_memory=None,
        quantization_config=None,
    )
    assert vlm.dtype == torch.bfloat16 and vlm.device == torch.device("cpu")
    assert vlm.config is vlm.model.config and vlm.tokenizer is vlm.processor.tokenizer
    assert "give one of them, not both" in fails(saved, dtype="float32", torch_dtype="float32")
    assert "device or device_map, not both" in fails(saved, device="cpu", device_map="cpu")
    for places in ("disk", True, {}, 1.5):
        assert "names no device for a model" in fails(saved, device_map=places)
    assert "max_memory has no effect on one device" in fails(saved, max_memory={"cpu": "1GB"})


def taken(**given: Any) -> tuple[str, dict[str, Any]]:
    arguments = take_arguments("m", given, "auto", "auto")
    assert not given
    return str(arguments.device), arguments.options


def test_one_device_needs_no_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hugging_face, "find_spec", lambda name: None)
    for places, device in [
        (0, "cuda:0"),
        ("cpu", "cpu"),
        (torch.device("cpu"), "cpu"),
        ({"": "cuda"}, "cuda"),
        ({"model": 1, "lm_head": 1}, "cuda:1"),
    ]:
        assert taken(device_map=places) == (device, {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert taken(device_map="auto") == ("auto", {})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert taken(device_map="auto") == ("auto", {})


def test_several_devices_are_accelerates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    spread: dict[str, Any] = {"model": 0, "lm_head": "cpu"}
    memory = {0: "1GB", "cpu": "8GB"}
    for places, device in [("auto", "auto"), ("balanced", "auto"), (spread, "cuda:0")]:
        options = {"device_map": places, "max_memory": memory, "offload_folder": "x"}
        assert taken(**options) == (device, options)
        assert taken(device_map=places) == (device, {"device_map": places})
    assert taken(device_map={"a": "disk", "b": "cpu"})[0] == "cpu"
    monkeypatch.setattr(hugging_face, "find_spec", lambda name: None)
    for places in ("auto", spread):
        with pytest.raises(ConfigurationError, match="pip install accelerate"):
            taken(device_map=places)


@pytest.mark.parametrize(
    "quantization",
    [
        {"load_in_4bit": True},
        {"quant_method": "bitsandbytes", "load_in_8bit": True},
        BitsAndBytesConfig(load_in_8bit=True),
    ],
    ids=["dict", "named", "object"],
)
def test_a_quantization_is_passed_on(quantization: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hugging_face, "find_spec", lambda name: name)
    expected = {"quantization_config": quantization}
    assert taken(quantization_config=quantization) == ("auto", expected)
    monkeypatch.setattr(hugging_face, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match="pip install accelerate bitsandbytes"):
        taken(quantization_config=quantization)


def test_a_name_that_is_nearly_right_is_said(saved: Path) -> None:
    assert fails(saved, vision_feature_layr=1).endswith("did you mean vision_feature_layer?")
    assert fails(saved, attn_implementaton="eager").endswith("did you mean attn_implementation?")
    assert fails(saved, speed=3).endswith("has no switch speed")


def test_a_revision_of_a_repository(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the Hub's cache, as huggingface_hub lays it out; tests have no network."""
    repository = tmp_path / "models--owner--name"
    commits = {"main": "a" * 40, "v1": "b" * 40}
    (repository / "refs").mkdir(parents=True)
    for ref, commit in commits.items():
        (repository / "refs" / ref).write_text(commit)
        shutil.copytree(saved, repository / "snapshots" / commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    for revision, commit in [(None, "a"), ("v1", "b"), ("b" * 40, "b")]:
        assert load("owner/name", revision=revision).revision == commit * 40
    assert "its revision 'v2' is not in the Hub's cache" in fails("owner/name", revision="v2")
    for name in (saved, "demo:llavit"):
        assert "revision='v1' is for models on the Hub" in fails(name, revision="v1")


def test_long_prompts_are_refused_before_the_pass(
    vlm: VLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(vlm.model), "forward", lambda *_, **__: pytest.fail("passed"))
    for call in (vlm.run, vlm.trace, vlm.generate, vlm.run_with_cache):
        with pytest.raises(ConfigurationError, match="has positions for 512"):
            call(tiny_image(), "left " * 600)
    with pytest.raises(ConfigurationError, match="far more than the 512 tokens"):
        vlm.run(tiny_image(), "x" * 10**6)
    with pytest.raises(ConfigurationError, match="max_new_tokens=500 more are over the 512"):
        vlm.generate(tiny_image(), max_new_tokens=500)
    with pytest.raises(ConfigurationError, match="has positions for 512"):
        answer_log_prob(vlm, tiny_image(), "What?", [5] * 600)
    with pytest.raises(ConfigurationError, match="not text in UTF-8"):
        vlm.run(tiny_image(), "\udcff")


def test_scaled_positions_count(vlm: VLM) -> None:
    from llavit_lens.vlm.length import most_positions

    text = vlm.model.config.get_text_config()
    before = text.rope_parameters
    assert most_positions(vlm.model.config) == 512
    for rope, expected in [
        ({"rope_type": "linear", "factor": 2.0}, 1024),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 512}, 2048),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}, 512),
        ({"rope_type": "default"}, 512),
    ]:
        text.rope_parameters = rope
        assert most_positions(vlm.model.config) == expected
    text.rope_parameters = before


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"max_new_tokens": 0}, "give a whole number from 1 on"),
        ({"max_new_tokens": True}, "give a whole number from 1 on"),
        ({"max_new_tokens": 2.5}, "give a whole number from 1 on"),
        ({"nope": 1}, "nope"),
        ({"num_return_sequences": 3}, "one answer is given"),
        ({"num_beams": 10**9}, "choose 1 to 1000"),
        ({"return_dict_in_generate": True}, "a text is given"),
        ({"output_hidden_states": {"x": 1}}, "a text is given"),
        (
            {"generation_config": GenerationConfig(num_return_sequences=3, num_beams=3)},
            "one answer is given",
        ),
        ({"generation_config": GenerationConfig(output_scores=True)}, "a text is given"),
        ({"do_sample": True, "temperature": -1.0}, "temperature"),
        ({"cache_implementation": "nope"}, "this generation fails"),
        ({"eos_token_id": "x"}, "this generation fails"),
    ],
)
def test_options_of_a_generation(vlm: VLM, options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigurationError) as error:
        vlm.generate(tiny_image(), "What?", **{"max_new_tokens": 2, **options})
    assert expected in str(error.value)


def test_an_error_in_a_pass_of_a_generation_stays_what_it_is(vlm: VLM) -> None:
    def fail(activation: Any, hook: Any) -> None:
        raise IndexError("mine")

    with pytest.raises(IndexError, match="mine"), vlm.hooks([("blocks.0.hook_attn_out", fail)]):
        vlm.generate(tiny_image(), "What?", max_new_tokens=2)


def test_a_tokenizer_is_saved_without_how_it_was_loaded(copy: Path) -> None:
    convert(copy, copy.with_name("out"), "baseline")
    written = json.loads((copy.with_name("out") / "tokenizer_config.json").read_text())
    assert "eos_token" in written and not {"local_files_only", "is_local"} & written.keys()
