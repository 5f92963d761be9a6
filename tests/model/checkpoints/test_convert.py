"""The folder that conversion writes: whole or not at all, with what it says it holds."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from llava_layouts import inputs_of, reference, save_weights, write_hugging_face, write_original
from safetensors import safe_open
from safetensors.torch import load_file
from tiny import tiny_image, tiny_llavit, tiny_processor
from transformers import AutoModelForImageTextToText, LlavaForConditionalGeneration

from llavit_lens.errors import CheckpointError, ConfigurationError
from llavit_lens.model.checkpoints import convert as convert_module
from llavit_lens.model.checkpoints import writing
from llavit_lens.model.checkpoints.convert import convert
from llavit_lens.model.checkpoints.source import open_source
from llavit_lens.model.checkpoints.target import ROWS
from llavit_lens.vlm.load import load

QKV = "model.language_model.layers.1.self_attn.{}_proj{}.{}"
LINEAR_1 = "model.multi_modal_projector.linear_1.weight"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An original checkpoint in two shards, with its tower beside it."""
    place = tmp_path_factory.mktemp("original")
    return write_original(place / "original", reference(), suffix="safetensors", shards=2)


@pytest.fixture
def several_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_module, "SMALLEST_LIMIT", 40_000)


def files_of(folder: Path) -> dict[str, str]:
    """Names and hashes of a folder's files."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
    }


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return {
        key: value
        for file in sorted(folder.glob("*.safetensors"))
        for key, value in load_file(file).items()
    }


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
    """From an original that pads, to boxes on the picture."""
    convert(folder, tmp_path / "out", "llavit", vision_feature_layer=[1, 2])
    trace = load(tmp_path / "out").trace(tiny_image(0, width=80, height=40), "What?")
    layout = trace.layout
    assert layout.grid == ((4, 4),) and layout.image_size == (80, 40)
    # A patch is 20 pixels of the square, whose bars of 20 pixels are the first and last rows.
    for row in range(4):
        top, bottom = ((0, 0), (0, 20), (20, 40), (40, 40))[row]
        for col in range(4):
            index = layout.index(row, col)
            box = (20 * col, top, 20 * (col + 1), bottom)
            assert layout.boxes[index] == pytest.approx(box, abs=1e-9)
            assert layout.on_picture[index] == (row in (1, 2))
    assert trace.hidden.shape[:2] == (4, 16) and trace.hidden.isfinite().all()


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


# Interruptions


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


class Killed(BaseException):
    """Stands for a kill: nothing in the code under test may catch it."""


STEPS = ("save_file", "_complete", "_flush")


def test_the_empty_folder_one_is_in(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    convert(folder, Path("."), "llava")
    monkeypatch.chdir(tmp_path)  # the folder is another one now
    assert [entry.name for entry in tmp_path.iterdir()] == ["here"]
    assert (tmp_path / "here" / "config.json").is_file()


def stop_at(step: int, stop: Callable[[], Any]) -> Callable[[], None]:
    """Stop before the given step of writing (a file, a flush, a rename); returns the undoing."""
    originals: list[tuple[Any, str, Any]] = []
    count = 0

    def guard(module: Any, name: str) -> None:
        original = getattr(module, name)
        originals.append((module, name, original))

        def guarded(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                stop()
            return original(*arguments, **options)

        setattr(module, name, guarded)

    for name in STEPS:
        guard(writing, name)
    for name in ("rename", "replace", "rmdir", "unlink", "mkdir"):
        guard(os, name)

    def undo() -> None:
        for module, name, original in originals:
            setattr(module, name, original)

    return undo


def raise_killed() -> None:
    raise Killed


def test_stopped_at_any_step_it_goes_on(
    folder: Path, tmp_path: Path, several_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = open_source(folder)  # once, for the sake of speed
    monkeypatch.setattr(convert_module, "open_source", lambda *_: source)
    convert(folder, tmp_path / "undisturbed", "separate_qkv")
    expected = files_of(tmp_path / "undisturbed")
    out = tmp_path / "out"
    # One attempt after another in the same place, each stopped one step later than the last one.
    for step in range(1, 400):
        undo = stop_at(step, raise_killed)
        try:
            convert(folder, out, "separate_qkv")
        except Killed:
            assert not out.exists() or files_of(out) == expected
        else:
            break
        finally:
            undo()
        if out.exists():  # stopped after the last rename
            break
    assert step > 20
    assert files_of(out) == expected
    assert not (tmp_path / "out.part").exists()


def test_complete_shards_are_not_written_again(
    folder: Path, tmp_path: Path, several_shards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    undo = stop_at(30, raise_killed)
    with pytest.raises(Killed):
        convert(folder, tmp_path / "out", "separate_qkv")
    undo()
    done = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("out.part/*.safetensors")}
    assert len(done) >= 2
    convert(folder, tmp_path / "out", "separate_qkv")
    assert (
        done.items() <= {p.name: p.stat().st_mtime_ns for p in (tmp_path / "out").iterdir()}.items()
    )


def test_another_conversion_starts_anew(folder: Path, tmp_path: Path, several_shards: None) -> None:
    """Other switches, or a source that has changed: nothing of the earlier run is kept."""
    convert(folder, tmp_path / "undisturbed", "baseline")
    undo = stop_at(30, raise_killed)
    with pytest.raises(Killed):
        convert(folder, tmp_path / "out", "separate_qkv")
    undo()
    convert(folder, tmp_path / "out", "baseline")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")

    source = write_original(tmp_path / "x", reference(), suffix="safetensors")
    undo = stop_at(20, raise_killed)
    with pytest.raises(Killed):
        convert(source, tmp_path / "again", "baseline")
    undo()
    other = reference()
    with torch.no_grad():
        other.model.language_model.norm.weight.fill_(7.0)
    write_original(tmp_path / "x", other, suffix="safetensors")
    convert(source, tmp_path / "again", "baseline")
    assert (weights_of(tmp_path / "again")["model.language_model.norm.weight"] == 7.0).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("step", [2, 9, 17, 33, 51])
def test_kill_9(step: int, folder: Path, tmp_path: Path, several_shards: None) -> None:
    child = os.fork()
    if child == 0:
        stop_at(step, lambda: os.kill(os.getpid(), signal.SIGKILL))
        convert(folder, tmp_path / "out", "separate_qkv")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    assert not (tmp_path / "out").exists() and (tmp_path / "out.part").exists()
    convert(folder, tmp_path / "out", "separate_qkv")
    convert(folder, tmp_path / "undisturbed", "separate_qkv")
    assert files_of(tmp_path / "out") == files_of(tmp_path / "undisturbed")


def test_a_full_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(writing, "save_file", full)
    with pytest.raises(CheckpointError, match=r"No space left on device.*run again to go on"):
        convert(folder, tmp_path / "out", "baseline")
    monkeypatch.undo()
    convert(folder, tmp_path / "out", "baseline")
    assert load(tmp_path / "out").image_token_id > 0


# Memory

_MEASURE = """
import re, sys
from pathlib import Path
from llavit_lens.model.checkpoints.convert import convert
source, small, out = map(Path, sys.argv[1:])
def resident(what):
    return 1024 * int(re.search(what + r":\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
convert(small, out / "small", "separate_qkv")  # everything is imported and allocated once
Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now on
before = resident("VmRSS")
convert(source, out / "large", "separate_qkv")
print(resident("VmHWM") - before)
"""


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux")
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_memory_is_less_than_two_shards(suffix: str, tmp_path: Path, folder: Path) -> None:
    """Resident memory, mapped pages of the source included."""
    wide = reference(mlp=75_000)
    source = write_original(tmp_path / "x", wide, suffix=suffix, shards=3)
    shards = [path.stat().st_size for path in source.glob(f"*-of-*.{suffix}")]
    total, largest = sum(shards), max(shards)
    assert len(shards) == 3 and largest > 30e6 and total > 2.5 * largest
    measured = subprocess.run(
        [sys.executable, "-c", _MEASURE, str(source), str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert 0.5 * largest < int(measured.stdout) < 2 * largest
    written = sum(path.stat().st_size for path in (tmp_path / "large").glob("*.safetensors"))
    assert written > total


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


def test_helper_writes_what_it_says(tmp_path: Path) -> None:
    save_weights(tmp_path, {str(i): torch.full((2,), float(i)) for i in range(5)}, shards=2)
    assert {key: value[0].item() for key, value in weights_of(tmp_path).items()} == {
        str(i): float(i) for i in range(5)
    }
