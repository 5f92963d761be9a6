"""The key lists of released checkpoints, against models of real size without memory: every key is
used exactly once, and nothing is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from shared_data import shared_data
from transformers import AutoConfig, LlavaConfig

from llavit_lens.errors import CheckpointError
from llavit_lens.model.checkpoints import key_names as layouts
from llavit_lens.model.checkpoints import original
from llavit_lens.model.checkpoints.find_tower import find_tower
from llavit_lens.model.checkpoints.source import empty_model
from llavit_lens.model.checkpoints.weights import LazyTensor

GiB = 2**30


def keys_of(index: Path) -> tuple[list[str], int]:
    listed = json.loads(index.read_text())
    return list(listed["weight_map"]), listed["metadata"]["total_size"]


def lazy(shape: tuple[int, ...], dtype: torch.dtype = torch.float16) -> LazyTensor:
    def read() -> Any:
        raise AssertionError("only names and shapes may be looked at")

    return LazyTensor(shape, dtype, Path("none"), "a key", read)


def shapes_by_native_name(model: Any) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in model.state_dict().items()}


def test_llava_hf(tmp_path: Path) -> None:
    folder = shared_data("checkpoints", "llava-hf_llava-1.5-7b-hf")
    model = empty_model(AutoConfig.from_pretrained(folder))
    shapes = shapes_by_native_name(model)
    keys, total = keys_of(folder / "model.safetensors.index.json")
    rename = layouts.native_names(model)
    found = {key: lazy(shapes[rename(key)]) for key in keys}
    fitted = layouts.fit("x", found, model, foreign=[])
    assert list(fitted) == list(shapes) and len(keys) == len(shapes) == 686
    assert sum(tensor.nbytes for tensor in fitted.values()) == total
    assert total > 13 * GiB


def test_original() -> None:
    """Its tower is CLIP's own; its size leaves exactly the rotary frequencies (float32) unused."""
    folder = shared_data("checkpoints", "liuhaotian_llava-v1.5-7b")
    fields = json.loads((folder / "config.json").read_text())
    original.require_served("x", fields)
    tower = find_tower(fields["mm_vision_tower"], folder, None, has_weights=True)
    config = LlavaConfig(
        vision_config=tower.config,
        text_config=original.text_config("x", fields, has_head=True),
        **original.feature_settings("x", fields, tower, own_tower=False),
    )
    assert config.text_config.vocab_size == 32000 and config.vision_feature_layer == -2
    model = empty_model(config)
    shapes = shapes_by_native_name(model)
    keys, total = keys_of(folder / "pytorch_model.bin.index.json")
    names = {key: layouts.apply_layout(key, layouts.ORIGINAL) for key in keys}
    found = {key: lazy(shapes.get(str(name), (64,))) for key, name in names.items()}
    renamed, foreign = layouts.rename_all(found, layouts.ORIGINAL)
    assert foreign == [] and len(renamed) == 327 - 32
    unused = len(found) - len(layouts.without_buffers(found))
    used = sum(tensor.nbytes for tensor in renamed.values())
    assert unused == 32 and total - used == 32 * 64 * 4

    with pytest.raises(CheckpointError, match=r"missing: model\.vision_tower\..* and 386 more$"):
        layouts.fit("x", renamed, model, foreign)
    clip = {
        key.replace("model.vision_tower.", "vision_model."): lazy(shape)
        for key, shape in shapes.items()
        if key.startswith("model.vision_tower.")
    }
    clip |= {
        "vision_model.embeddings.position_ids": lazy((1, 577), torch.int64),
        "text_model.final_layer_norm.weight": lazy((768,)),
        "text_projection.weight": lazy((768, 768)),
        "visual_projection.weight": lazy((768, 1024)),
        "logit_scale": lazy(()),
    }
    more, others = layouts.rename_all(clip, layouts.TOWER)
    assert len(others) == 4
    assert all(layouts.is_listed(key, layouts.TOWER_EXTRAS) for key in others)
    assert list(layouts.fit("x", {**renamed, **more}, model, foreign)) == list(shapes)


def test_the_known_tower_is_that_of_its_public_configuration() -> None:
    public = json.loads(shared_data("configs", "clip-vit-large-patch14-336.json").read_text())
    known = find_tower("openai/clip-vit-large-patch14-336", Path("none"), None, has_weights=True)
    assert {key: getattr(known.config, key) for key in public} == public
