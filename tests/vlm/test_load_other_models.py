"""Models of another kind than LLaVA: transformers loads them, and its report is checked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import tiny_config_arguments, tiny_image
from tiny_vlm import plain_processor
from transformers import VipLlavaConfig, VipLlavaForConditionalGeneration

from llavit_lens.errors import LlavitLensError
from llavit_lens.vlm.load import load


def tiny_vip_llava() -> VipLlavaForConditionalGeneration:
    """Not LLaVA, though much like it: the outputs of several vision layers, and a norm."""
    torch.manual_seed(0)
    arguments = tiny_config_arguments(vision_feature_layers=[-2, 1])
    del arguments["vision_feature_layer"], arguments["vision_feature_select_strategy"]
    return VipLlavaForConditionalGeneration(VipLlavaConfig(**arguments)).eval()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_vip_llava().save_pretrained(tmp_path / "x")
    plain_processor().save_pretrained(tmp_path / "x")
    return tmp_path / "x"


def fails(folder: Path, **options: Any) -> str:
    with pytest.raises(LlavitLensError) as error:
        load(folder, **options)
    message = str(error.value)
    assert "\n" not in message and len(message) < 600
    return message


def edit(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_another_model_loads(folder: Path) -> None:
    vlm = load(folder)
    assert type(vlm.model) is VipLlavaForConditionalGeneration
    expected = tiny_vip_llava().state_dict()
    assert vlm.model.state_dict().keys() == expected.keys()
    assert all(torch.equal(v, expected[k]) for k, v in vlm.model.state_dict().items())
    assert vlm.trace(tiny_image()).hidden.isfinite().all()


def test_its_keys_are_checked(folder: Path) -> None:
    def change(weights: dict[str, torch.Tensor]) -> None:
        table = next(key for key in weights if "embed_tokens" in key)
        weights[table] = weights[table][:-1].contiguous()
        weights.pop(next(key for key in weights if key.endswith("layers.1.mlp.up_proj.weight")))
        weights["adapter.weight"] = torch.zeros(2)

    edit(folder, change)
    message = fails(folder)
    assert "missing: model.language_model.layers.1.mlp.up_proj.weight" in message
    assert "foreign: adapter.weight" in message
    assert "of another shape: model.language_model.embed_tokens.weight" in message


def test_what_is_damaged_or_lost(folder: Path) -> None:
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-50])
    assert "model.safetensors is damaged or cut off" in fails(folder)
    (folder / "model.safetensors").unlink()
    assert "its weights cannot be loaded" in fails(folder)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").unlink()
    assert "its tokenizer cannot be loaded" in fails(folder)


def test_options_of_llava(folder: Path) -> None:
    assert "is no LLaVA; leave out base and vision_tower" in fails(folder, base=folder)
    message = fails(folder, separate_visual_qkv=True)
    assert message.endswith("a vipllava model has no switch separate_visual_qkv")
