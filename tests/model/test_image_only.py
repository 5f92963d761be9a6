"""Processors for images alone: what transformers' own make of an image, with fewer packages."""

from __future__ import annotations

import importlib
import json
import sys
from importlib.util import find_spec
from typing import Any

import pytest
import torch
import transformers
from tiny import tiny_image, tiny_tokenizer
from transformers import PreTrainedTokenizerFast

from llavit_lens.model.image_only import image_only, processor_class

NO_TORCHVISION = find_spec("torchvision") is None
PIXTRAL = "transformers.models.pixtral"
_ROWS = [f"<row_{row}_col_{col}>" for row in range(1, 7) for col in range(1, 7)]


def _of(name: str) -> Any:
    found = processor_class(name)
    if found is None:
        pytest.skip(f"this transformers has no {name}")
    return image_only(found)


def _pillow(module: str, name: str, **settings: Any) -> Any:
    path = f"transformers.models.{module}.image_processing_pil_{module}"
    if find_spec(path) is None:
        pytest.skip(f"this transformers has no {name}")
    return getattr(importlib.import_module(path), name)(**settings)


def _tokenizer(*special: str) -> PreTrainedTokenizerFast:
    tokenizer = tiny_tokenizer()
    tokenizer.add_special_tokens({"additional_special_tokens": list(special)})
    return tokenizer


def _qwen() -> Any:
    size = {"shortest_edge": 28 * 28 * 4, "longest_edge": 28 * 28 * 40}
    images = _pillow("qwen2_vl", "Qwen2VLImageProcessorPil", size=size)
    return _of("Qwen2VLProcessor")(image_processor=images, tokenizer=tiny_tokenizer())


def _pixtral() -> Any:
    images = _pillow(
        "pixtral", "PixtralImageProcessorPil", size={"longest_edge": 112}, patch_size=14
    )
    tokenizer = _tokenizer("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    return _of("PixtralProcessor")(image_processor=images, tokenizer=tokenizer, patch_size=14)


def _smolvlm() -> Any:
    images = _pillow(
        "smolvlm",
        "SmolVLMImageProcessorPil",
        size={"longest_edge": 112},
        max_image_size={"longest_edge": 56},
    )
    tokenizer = _tokenizer(
        "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", *_ROWS
    )
    return _of("SmolVLMProcessor")(
        image_processor=images, tokenizer=tokenizer, video_processor=None, image_seq_len=4
    )


@pytest.mark.parametrize(
    "make, kind, visual",
    [
        (_qwen, "qwen2_vl", 2 * 3),
        (_pixtral, "pixtral", 5 * 7),
        (_smolvlm, "smolvlm", 4 * (2 * 2 + 1)),
    ],
    ids=["qwen2_vl", "pixtral", "smolvlm"],
)
def test_makes_tokens_of_an_image_also_after_saving_and_loading(
    make: Any, kind: str, visual: int, tmp_path: Any
) -> None:
    processor = make()
    kept = type(processor.image_processor).__name__
    if getattr(getattr(transformers, kept), "is_dummy", False):
        pytest.skip(f"the installed transformers does not load a {kept} without torchvision")
    processor.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}), "utf-8")
    loaded = type(processor).from_pretrained(tmp_path)
    image = tiny_image(width=90, height=60)
    made, again = (
        one(images=[image], text=[f"{one.image_token}What?"], return_tensors="pt")
        for one in (processor, loaded)
    )
    assert (made["input_ids"] == processor.image_token_id).sum() == visual
    assert set(made) == set(again)
    assert all(torch.equal(made[key], again[key]) for key in made)
    assert type(loaded).__name__ == type(processor).__name__
    assert "video_processor" not in (tmp_path / "processor_config.json").read_text("utf-8")


def test_it_is_the_class_itself_to_transformers() -> None:
    own = processor_class("Qwen2VLProcessor")
    made = image_only(own)  # type: ignore[arg-type]
    assert issubclass(made, own) and made.__name__ == own.__name__  # type: ignore
    assert made is image_only(own)  # type: ignore[arg-type]


def test_parts_for_images_are_checked_as_ever() -> None:
    with pytest.raises(TypeError, match="image_processor"):
        _of("Qwen2VLProcessor")(image_processor=None, tokenizer=tiny_tokenizer())


@pytest.mark.skipif(not NO_TORCHVISION, reason="torchvision is installed")
def test_nothing_stands_in_for_a_module_afterwards() -> None:
    assert processor_class("PixtralProcessor") is not None
    assert f"{PIXTRAL}.image_processing_pixtral" not in sys.modules
    with pytest.raises(ImportError, match="torchvision"):
        importlib.import_module(f"{PIXTRAL}.image_processing_pixtral")


def test_an_unknown_name_is_no_class() -> None:
    assert processor_class("NoSuchProcessor") is None
