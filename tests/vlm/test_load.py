"""Loading: what works, and one line for everything that does not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants
from llava_layouts import reference, write_hugging_face, write_original
from safetensors.torch import load_file, save_file
from tiny import PATCHES, tiny_image, tiny_llava, tiny_llavit, tiny_processor
from tiny_vlm import FAMILIES, plain_processor

from llavit_lens import inputs
from llavit_lens.errors import CheckpointError, ConfigurationError, LlavitLensError
from llavit_lens.model.checkpoints import hub as places
from llavit_lens.vlm import load as load_function
from llavit_lens.vlm.load import demo_names, load
from llavit_lens.vlm.vlm import VLM

load_module = sys.modules[load_function.__module__]
VISUAL_KEY = "model.language_model.layers.2.self_attn.k_proj_visual.weight"
UP = "model.language_model.layers.0.mlp.up_proj.weight"


@pytest.fixture(scope="session", params=FAMILIES)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "llava":
        tiny_llava().save_pretrained(folder)
        plain_processor().save_pretrained(folder)
    else:
        tiny_llavit(vision_feature_layer=[1, 2, -1]).save_pretrained(folder)
        tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def llavit_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("llavit")
    tiny_llavit(vision_feature_layer=[1, 2, -1]).save_pretrained(folder)
    tiny_processor().save_pretrained(folder)
    return folder


@pytest.fixture
def copy(llavit_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llavit_folder, tmp_path / "copy"))


def edit_weights(folder: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    edit(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def fails(name: str | Path, **options: Any) -> str:
    with pytest.raises(LlavitLensError) as error:
        load(name, **options)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    return message


def test_a_saved_model_comes_back_bit_for_bit(saved: Path) -> None:
    vlm = load(saved)
    original = VLM(
        tiny_llava() if "llava" in saved.name else tiny_llavit(vision_feature_layer=[1, 2, -1]),
        vlm.processor,
        "original",
    )
    assert vlm.name == str(saved) and vlm.revision is None
    assert vlm.device.type == "cpu" and vlm.model.dtype == torch.float32
    assert not vlm.model.training
    assert torch.equal(vlm.trace(tiny_image()).hidden, original.trace(tiny_image()).hidden)


def test_names_are_strings_or_paths(saved: Path) -> None:
    assert load(str(saved)).name == load(saved).name


@pytest.mark.long
def test_dtype(saved: Path) -> None:
    assert load(saved, dtype="bfloat16").model.dtype == torch.bfloat16
    assert load(saved, dtype=torch.float64).model.dtype == torch.float64
    for dtype in ("int8", "float33", torch.int64, "nn"):
        assert "choose float32" in fails(saved, dtype=dtype)


def test_device(saved: Path) -> None:
    assert load(saved, device="cpu").device.type == "cpu"
    assert "device 'toaster'" in fails(saved, device="toaster")
    if not torch.cuda.is_available():
        assert "torch cannot use it" in fails(saved, device="cuda")
    for device in ("cuda:99", "hpu"):
        assert "torch cannot use it on this machine" in fails(saved, device=device)
    assert "holds no weights" in fails(saved, device="meta")


def test_a_model_too_large_for_its_device(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20 GiB")

    monkeypatch.setattr(torch.nn.Module, "to", full)
    with pytest.raises(ConfigurationError):
        load(saved)
    assert "cannot be put on device 'cpu'" in fails(saved)


def test_attention_implementation(saved: Path) -> None:
    vlm = load(saved, attn_implementation="eager")
    assert vlm.model.model.language_model.config._attn_implementation == "eager"
    assert "toast" in fails(saved, attn_implementation="toast")


def test_config_overrides(llavit_folder: Path) -> None:
    causal = load(llavit_folder, visual_attention="causal")
    both = load(llavit_folder)
    assert causal.model.config.visual_attention == "causal"
    assert both.model.config.visual_attention == "bidirectional"
    assert not torch.equal(causal.trace(tiny_image()).hidden, both.trace(tiny_image()).hidden)
    text_only = load(llavit_folder, separate_visual_qkv=False)
    assert not any("visual" in key for key in text_only.model.state_dict())


@pytest.mark.long
def test_config_overrides_that_make_no_sense(llavit_folder: Path) -> None:
    assert "'sideways'" in fails(llavit_folder, visual_attention="sideways")
    assert "no switch speed" in fails(llavit_folder, speed=3)
    assert "load has no trust_remote_code" in fails(llavit_folder, trust_remote_code=True)
    assert "vision_feature_layer" in fails(llavit_folder, vision_feature_layer="deep")
    assert "separate_visual_qkv='no'" in fails(llavit_folder, separate_visual_qkv="no")
    for layer in (4, -5, [1, 2, 9], []):
        message = fails(llavit_folder, vision_feature_layer=layer)
        assert "the vision tower has layers 0 to 3, or -4 to -1" in message
    message = fails(llavit_folder, vision_feature_layer=[1, 2])
    assert "linear_1.weight ([48, 96] instead of [48, 64])" in message


@pytest.mark.parametrize("tiles", [False, True], ids=["llava", "llava_next"])
@pytest.mark.parametrize("layout", ["original", "Hugging Face"])
def test_switches_of_llavit_need_a_conversion(layout: str, tiles: bool, tmp_path: Path) -> None:
    model = reference("llama", next_=tiles)
    if layout == "original":
        folder = write_original(tmp_path / "x", model)
    else:
        folder = write_hugging_face(tmp_path / "x", model, "old", "safetensors", 1)
    for switch in (
        {"separate_visual_qkv": True},
        {"visual_attention": "none", "image_aspect_ratio": "pad"},
    ):
        message = fails(folder, **switch)
        assert f"has no switch {', '.join(switch)}, but LLaViT has" in message
        assert f"run `llavit-lens convert {folder} OUT` first and load OUT" in message
    assert "convert" not in fails(folder, speed=3, visual_attention="none")


def test_a_checkpoints_own_settings_for_generation_are_used(tmp_path: Path) -> None:
    for folder in (
        write_original(tmp_path / "a", reference()),
        write_hugging_face(tmp_path / "b", reference(), "old", "safetensors", 1),
    ):
        settings = {"eos_token_id": [2, 3], "repetition_penalty": 1.5}
        (folder / "generation_config.json").write_text(json.dumps(settings))
        model = load(folder).model
        assert {key: getattr(model.generation_config, key) for key in settings} == settings
        assert model.name_or_path == model.config.name_or_path == str(folder)


@pytest.mark.parametrize("name", ["has_tiles", "to_dict", "pinpoints", "_commit_hash"])
def test_overrides_are_fields_of_the_config(name: str, llavit_folder: Path) -> None:
    assert f"no switch {name}" in fails(llavit_folder, **{name: 3})


@pytest.mark.parametrize("pinpoints", [[5], [[28]], [[28, "56"]], 5, "28x56"], ids=str)
def test_pinpoints_that_are_no_pairs(pinpoints: Any, llavit_folder: Path) -> None:
    tiles = {"image_aspect_ratio": "anyres", "image_grid_pinpoints": pinpoints}
    assert "is not a list of (height, width)" in fails(llavit_folder, **tiles)


def test_the_processor_follows_the_select_strategy(saved: Path) -> None:
    patches, with_class = (
        load(saved, vision_feature_select_strategy=strategy) for strategy in ("default", "full")
    )
    ids = [vlm.prepare(tiny_image(), "What?").inputs["input_ids"] for vlm in (patches, with_class)]
    counts = [int((row == patches.image_token_id).sum()) for row in ids]
    assert counts == [PATCHES, PATCHES + 1]
    assert with_class.run(tiny_image(), "What?").isfinite().all()


def test_a_processor_that_cannot_follow_the_resolution_is_named(copy: Path) -> None:
    (copy / "processor_config.json").unlink()
    plain_processor().save_pretrained(copy)
    assert type(load(copy).processor).__name__ == "LlavaProcessor"
    message = fails(copy, image_aspect_ratio="stretch")
    assert "has a LlavaProcessor" in message and "leave out image_aspect_ratio" in message


def test_missing_keys_are_named(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.pop(UP))
    assert f"missing: {UP}" in fails(copy)


def test_foreign_keys_are_named(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.update({"adapter.weight": torch.zeros(2)}))
    assert "foreign: adapter.weight" in fails(copy)


def test_shapes_are_named(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.update({"lm_head.weight": torch.zeros(3, 48)}))
    assert "of another shape: lm_head.weight ([3, 48] instead of" in fails(copy)


def test_all_faults_are_in_one_error_and_long_lists_are_cut(copy: Path) -> None:
    def edit(weights: dict[str, torch.Tensor]) -> None:
        for key in [key for key in weights if "language_model" in key and ".mlp." in key]:
            del weights[key]
        weights["extra"] = torch.zeros(1)

    edit_weights(copy, edit)
    message = fails(copy)
    assert "missing: " in message and "and 4 more" in message and "foreign: extra" in message


def test_foreign_visual_keys_are_named(copy: Path) -> None:
    attention = "model.language_model.layers.0.self_attn"
    alien = [f"{attention}.o_proj_visual.weight", "adapter.layers.0.self_attn.q_proj_visual.bias"]
    deep = VISUAL_KEY.replace("layers.2", "layers.99")
    edit_weights(
        copy, lambda weights: weights.update({key: torch.zeros(2) for key in (*alien, deep)})
    )
    assert f"foreign: {', '.join(sorted([*alien, deep]))}" in fails(copy)
    message = fails(copy, separate_visual_qkv=False)
    assert f"foreign: {', '.join(sorted(alien))}" in message


def test_a_checkpoint_without_visual_qkv_gets_copies_only_if_it_claims_none(copy: Path) -> None:
    def drop(weights: dict[str, torch.Tensor]) -> None:
        for key in [key for key in weights if "_visual" in key]:
            del weights[key]

    edit_weights(copy, drop)
    message = fails(copy)
    assert "missing: " in message and "_proj_visual" in message
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "separate_visual_qkv": False}))
    model = load(copy, separate_visual_qkv=True).model
    attention = model.model.language_model.layers[1].self_attn
    assert torch.equal(attention.q_proj_visual.weight, attention.q_proj.weight)
    assert torch.equal(attention.v_proj_visual.bias, attention.v_proj.bias)


def test_a_checkpoint_that_lost_some_visual_qkv_is_refused(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.pop(VISUAL_KEY))
    assert f"missing: {VISUAL_KEY}" in fails(copy)


@pytest.mark.parametrize("kept", [0, 4, 100, 5000, -50])
def test_cut_off_weights_are_named(copy: Path, kept: int) -> None:
    file = copy / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    assert "model.safetensors is damaged" in fails(copy)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", "config.json: is no JSON"),
        ("{", "config.json: is no JSON"),
        ("[]", "config.json: holds no JSON object"),
        ("{}", "its configuration cannot be loaded (Unrecognized model"),
        ('{"model_type": "nonsense"}', "its configuration cannot be loaded (.* type `nonsense`"),
        ('{"model_type": "qwen2"}', "a qwen2 model does not take images with text"),
        ('{"model_type": "llavit", "visual_attention": "up"}', "visual_attention='up' is not one"),
    ],
)
def test_bad_config(copy: Path, config: str, expected: str) -> None:
    (copy / "config.json").write_text(config)
    assert re.search(expected.replace("(", r"\("), fails(copy))


@pytest.mark.parametrize("model_type", ["llava", "llava_llama"])
def test_original_llava_format_is_recognized(copy: Path, model_type: str) -> None:
    """Others load: tests/model/checkpoints. This one has a linear projector."""
    (copy / "config.json").write_text(
        json.dumps({"model_type": model_type, "mm_vision_tower": "clip"})
    )
    assert "its projector is 'linear', not 'mlp2x_gelu'; this is not supported" in fails(copy)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("model.safetensors", "holds no weights"),
        ("tokenizer.json", "tokenizer cannot be loaded"),
        ("processor_config.json", "processor cannot be loaded"),
    ],
)
def test_lost_files(copy: Path, file: str, message: str) -> None:
    (copy / file).unlink()
    assert message in fails(copy)


def test_processor_of_another_model(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["image_token_id" if "image_token_id" in config else "image_token_index"] = 3
    (copy / "config.json").write_text(json.dumps(config))
    assert "do not belong together" in fails(copy)


def test_folders_and_names_that_are_no_checkpoints(tmp_path: Path) -> None:
    assert "has no config.json" in fails(tmp_path)
    (tmp_path / "file").write_text("x")
    assert "is a file" in fails(tmp_path / "file")
    for name in (tmp_path / "nowhere", "a/b/c", "./nowhere", "two words", "-x/y", "~/nowhere"):
        assert "no such folder" in fails(name)


def test_unknown_demo_names_those_there_are(
    monkeypatch: pytest.MonkeyPatch, llavit_folder: Path
) -> None:
    folders = {"one": llavit_folder, "two": llavit_folder}
    monkeypatch.setattr(inputs, "demo_folders", lambda: folders)
    assert demo_names() == ["demo:one", "demo:two"]
    for name in ("demo:three", "demo:", "demo:../one"):
        assert "there are: demo:one, demo:two" in fails(name)
    assert load("demo:two").name == "demo:two"


COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cached(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in the Hub's cache of `owner/name`."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--owner--name"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    (repository / "snapshots").mkdir()
    return copy.rename(repository / "snapshots" / COMMIT)


def test_a_cached_repository(cached: Path, llavit_folder: Path) -> None:
    vlm = load("owner/name")
    assert (vlm.name, vlm.revision) == ("owner/name", COMMIT)
    expected = load(llavit_folder).trace(tiny_image()).hidden
    assert torch.equal(vlm.trace(tiny_image()).hidden, expected)


def test_a_cached_repository_is_checked_as_a_folder_is(cached: Path) -> None:
    norm = "model.language_model.norm.weight"
    edit_weights(cached, lambda weights: weights.update({norm: weights[norm].to(torch.int8)}))
    assert f"not floating-point: {norm} (int8)" in fails("owner/name")


def test_unreachable_hub_fails_at_once() -> None:
    # the tests run with the Hub switched off, which looks the same as no connection
    start = time.monotonic()
    message = fails("nobody/no-such-model")
    assert message == (
        "nobody/no-such-model is not a folder here, and not in the Hub's cache on this machine. "
        "The Hub cannot be reached (no network?)"
    )
    assert time.monotonic() - start < 5


def test_a_failed_connection_is_tried_once(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[str] = []

    def no_route(self: Any, name: str, **_: Any) -> None:
        requests.append(name)
        raise ConnectionError("no route to host")

    monkeypatch.setattr(places.HfApi, "model_info", no_route)
    assert "Hub cannot be reached" in fails("nobody/no-such-model")
    assert requests == ["nobody/no-such-model"]


def test_errors_are_of_the_promised_kinds(tmp_path: Path, llavit_folder: Path) -> None:
    with pytest.raises(CheckpointError):
        load(tmp_path)
    with pytest.raises(ConfigurationError):
        load(llavit_folder, dtype="int8")


@pytest.mark.long
def test_nothing_but_the_error_is_printed(copy: Path) -> None:
    edit_weights(copy, lambda weights: weights.pop(UP))
    script = (
        "import sys, llavit_lens as ll\n"
        "try: ll.load(sys.argv[1])\n"
        "except ll.LlavitLensError as error: print(error, file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(copy)], capture_output=True, text=True, check=True
    )
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1 and UP in done.stderr


def test_importing_the_package_imports_neither_torch_nor_transformers() -> None:
    script = (
        "import sys, llavit_lens; dir(llavit_lens); "
        "print([m for m in ('torch', 'transformers', 'numpy', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_everything_the_package_offers_is_there() -> None:
    import llavit_lens

    assert all(getattr(llavit_lens, name) is not None for name in llavit_lens.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        llavit_lens.nonsense  # noqa: B018
