"""Families from folders: what was saved, or one line that says why it is not read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from any_processor import require_loadable
from family_cases import CASES
from safetensors.torch import load_file, save_file
from tiny import tiny_image

from llavit_lens.errors import LlavitLensError
from llavit_lens.vlm.load import load

NAMES = (
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3", "internvl", "idefics3", "smolvlm", "mistral3",
    "pixtral", "paligemma", "llava_onevision", "aya_vision", "glm4v", "gemma4",
)  # fmt: skip
IMAGE = tiny_image(width=90, height=60)


def write(name: str, folder: Path) -> Any:
    """A folder of a family; the model that it holds."""
    case = CASES[name]
    processor, model = case.processor(), case.model()
    require_loadable(processor)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model


def logits_of(model: Any, processor: Any, prompt: str) -> torch.Tensor:
    inputs = processor(images=[IMAGE], text=[prompt], return_tensors="pt")
    inputs.pop("labels", None)
    with torch.no_grad():
        logits: torch.Tensor = model(**inputs.to(dtype=model.dtype), use_cache=False).logits
    return logits


def fails(folder: Any, **options: Any) -> str:
    with pytest.raises(LlavitLensError) as error:
        load(folder, **options)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    return message


@pytest.mark.parametrize("name", NAMES)
def test_a_family_loads_and_is_what_was_saved(name: str, tmp_path: Path) -> None:
    model, case = write(name, tmp_path), CASES[name]
    vlm = load(tmp_path)
    assert type(vlm.model) is type(model)
    expected = logits_of(model, case.processor(), case.prompt)
    assert torch.equal(logits_of(vlm.model, vlm.processor, case.prompt), expected)


@pytest.fixture
def qwen(tmp_path: Path) -> Path:
    write("qwen2_vl", tmp_path / "x")
    return tmp_path / "x"


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_keys_are_checked(qwen: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights.pop(next(key for key in weights if key.endswith("layers.1.mlp.up_proj.weight")))
        weights["adapter.weight"] = torch.zeros(2)
        head = weights["lm_head.weight"]
        weights["lm_head.weight"] = head[:-1].contiguous()

    edit(qwen, change)
    message = fails(qwen)
    assert "missing: " in message and "layers.1.mlp.up_proj.weight" in message
    assert "foreign: adapter.weight" in message
    assert "of another shape: lm_head.weight ([399, 64] instead of [400, 64])" in message


def test_what_is_damaged_or_lost(qwen: Path) -> None:
    weights = (qwen / "model.safetensors").read_bytes()
    (qwen / "model.safetensors").write_bytes(weights[:-50])
    assert "model.safetensors is damaged or cut off" in fails(qwen)
    (qwen / "model.safetensors").write_bytes(weights)
    tokenizer = (qwen / "tokenizer.json").read_bytes()
    (qwen / "tokenizer.json").unlink()
    assert "its tokenizer cannot be loaded" in fails(qwen)
    (qwen / "tokenizer.json").write_bytes(tokenizer)
    (qwen / "processor_config.json").write_text("{")
    assert "processor_config.json: is no JSON" in fails(qwen)
    (qwen / "processor_config.json").unlink()
    assert fails(qwen)
    (qwen / "config.json").unlink()
    assert "has no config.json" in fails(qwen)


def test_a_processor_of_another_model_is_refused(qwen: Path) -> None:
    fields = json.loads((qwen / "config.json").read_text("utf-8"))
    fields["image_token_id"] = 17
    (qwen / "config.json").write_text(json.dumps(fields), "utf-8")
    assert "do not belong together" in fails(qwen)


def test_a_processor_may_be_given(qwen: Path, tmp_path: Path) -> None:
    CASES["qwen2_vl"].processor().save_pretrained(tmp_path / "processor")
    (qwen / "processor_config.json").unlink()
    given = CASES["qwen2_vl"].processor()
    assert load(qwen, processor=given).processor is given
    by_name = load(qwen, processor=tmp_path / "processor").processor
    assert type(by_name).__name__ == "Qwen2VLProcessor"
    assert "is no processor for images and text" in fails(qwen, processor=given.tokenizer)


@pytest.mark.parametrize("kind", ["florence2", "mllama", "t5gemma2"])
def test_types_that_cannot_be_read(kind: str, qwen: Path) -> None:
    (qwen / "config.json").write_text(json.dumps({"model_type": kind}))
    assert f"a {kind} model reads the image" in fails(qwen)


@pytest.mark.parametrize("kind", ["qwen2", "no_such_type"])
def test_types_that_read_no_images(kind: str, qwen: Path) -> None:
    (qwen / "config.json").write_text(json.dumps({"model_type": kind}))
    assert fails(qwen)


@pytest.mark.parametrize("name", ["gemma4", "got_ocr2"])
def test_towers_without_sdpa_keep_their_own(name: str, tmp_path: Path) -> None:
    write(name, tmp_path)
    for kind in ("sdpa", "eager"):
        vlm = load(tmp_path, attn_implementation=kind)
        assert vlm.decoder.attn_implementation == kind
    assert "nonsense" in fails(tmp_path, attn_implementation="nonsense")
