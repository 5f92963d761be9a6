"""Processors of other families than LLaVA, read from files, with or without torchvision."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from any_processor import any_tokenizer, require_loadable
from family_cases import CASES
from tiny import tiny_image

from llavit_lens.errors import CheckpointError
from llavit_lens.model.checkpoints.processors import read_processor

NAMES = (
    "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "gemma3", "internvl", "idefics3", "smolvlm", "mistral3",
    "pixtral", "paligemma", "llava_onevision", "gemma4",
)  # fmt: skip


def _folder(name: str, place: Path) -> Path:
    case = CASES[name]
    processor = case.processor()
    require_loadable(processor)
    processor.save_pretrained(place)
    (place / "config.json").write_text(json.dumps({"model_type": case.model_type}), "utf-8")
    return place


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_makes_the_same_of_an_image(name: str, tmp_path: Path) -> None:
    folder, case = _folder(name, tmp_path), CASES[name]
    image = tiny_image(width=90, height=60)
    made, read = (
        processor(images=[image], text=[case.prompt], return_tensors="pt")
        for processor in (case.processor(), read_processor("x", folder))
    )
    assert set(made) == set(read)
    assert all(torch.equal(made[key], read[key]) for key in made)


@pytest.mark.parametrize("ending", ["", "Fast"])
@pytest.mark.parametrize("name", ["qwen2_5_vl", "gemma3", "mistral3", "internvl"])
def test_files_as_they_are_published(name: str, ending: str, tmp_path: Path) -> None:
    """Settings for images in a file of their own, a class that needs torchvision, and videos."""
    folder = _folder(name, tmp_path)
    fields = json.loads((folder / "processor_config.json").read_text("utf-8"))
    images = fields.pop("image_processor")
    images["image_processor_type"] = images["image_processor_type"].removesuffix("Pil") + ending
    images["processor_class"] = fields["processor_class"]
    videos = {"video_processor_type": "Qwen2VLVideoProcessor"}
    for file, content in [
        ("preprocessor_config.json", images),
        ("processor_config.json", fields),
        ("video_preprocessor_config.json", videos),
    ]:
        (folder / file).write_text(json.dumps(content), "utf-8")
    image, case = tiny_image(width=90, height=60), CASES[name]
    made, read = (
        processor(images=[image], text=[case.prompt], return_tensors="pt")
        for processor in (case.processor(), read_processor("x", folder))
    )
    assert torch.equal(made["input_ids"], read["input_ids"])


def test_settings_for_videos_that_make_no_sense_do_not_matter(tmp_path: Path) -> None:
    folder = _folder("qwen2_vl", tmp_path)
    (folder / "video_preprocessor_config.json").write_text('{"video_processor_type": "No"}')
    assert read_processor("x", folder).image_processor is not None


def test_damaged_settings_for_images_do(tmp_path: Path) -> None:
    folder = _folder("qwen2_vl", tmp_path)
    file = folder / "processor_config.json"
    fields = json.loads(file.read_text("utf-8"))
    fields["image_processor"]["size"] = "large"
    file.write_text(json.dumps(fields), "utf-8")
    with pytest.raises(CheckpointError, match="its processor cannot be loaded") as error:
        read_processor("x", folder)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(find_spec("torchvision") is not None, reason="torchvision is installed")
@pytest.mark.parametrize("file", ["processor_config.json", "preprocessor_config.json", None])
def test_an_image_processor_that_needs_torchvision_says_so(
    file: str | None, tmp_path: Path
) -> None:
    any_tokenizer({10: "<image>"}, {}).save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "llama4"}')
    images = {"image_processor_type": "Llama4ImageProcessor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(images))
    if file is not None:
        named = {**images, "processor_class": "Llama4Processor"}
        (tmp_path / file).write_text(json.dumps(named))
    with pytest.raises(CheckpointError, match="llama4's image processor needs torchvision") as e:
        read_processor("x", tmp_path)
    assert "install the torchvision that belongs" in str(e.value)
