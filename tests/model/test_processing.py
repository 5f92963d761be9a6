"""Pixels and token counts for every `image_aspect_ratio`, against Pillow and transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import (
    IMAGE_SIZE,
    PATCHES,
    PINPOINTS,
    PROMPT,
    TWO_IMAGES_PROMPT,
    tiny_config_arguments,
    tiny_image,
    tiny_next_processor,
    tiny_processor,
    tiny_tile_processor,
)
from transformers import (
    AutoProcessor,
    CLIPVisionConfig,
    LlavaNextImageProcessorPil,
    SiglipImageProcessorPil,
)

from llavit_lens.errors import ConfigurationError
from llavit_lens.model import LlavitConfig, LlavitProcessor
from llavit_lens.model.llava_processors import resolution_of
from llavit_lens.model.processing import image_processor_for

OTHER_PINPOINTS = [[28, 28], [28, 112], [112, 56], [84, 84]]
edges = st.one_of(st.integers(1, 120), st.sampled_from([1, 2, 250]))
sizes = st.tuples(edges, edges)


def processor_for(**changes: Any) -> LlavitProcessor:
    processor = tiny_processor()
    processor.set_resolution(LlavitConfig(**tiny_config_arguments(**changes)))
    return processor


WHOLE = {mode: processor_for(image_aspect_ratio=mode) for mode in ("crop", "pad", "stretch")}
UNPAD = [tiny_tile_processor("spatial_unpad", points) for points in (PINPOINTS, OTHER_PINPOINTS)]
NEXT = [tiny_next_processor(points) for points in (PINPOINTS, OTHER_PINPOINTS)]


def normalized(image: Image.Image, processor: LlavitProcessor) -> np.ndarray:
    """[3, height, width], as a vision tower wants it."""
    of = processor.image_processor
    pixels = np.asarray(image, dtype=np.float64) / 255
    return ((pixels - of.image_mean) / of.image_std).transpose(2, 0, 1)


def by_hand(image: Image.Image, mode: str) -> Image.Image:
    """What LLaVA's own preprocessing does, with Pillow alone."""
    width, height = image.size
    side = (IMAGE_SIZE, IMAGE_SIZE)
    if mode == "stretch":
        return image.resize(side, Image.Resampling.BICUBIC)
    if mode == "pad":
        long = max(image.size)
        square = Image.new("RGB", (long, long), (122, 116, 104))
        square.paste(image, ((long - width) // 2, (long - height) // 2))
        return square.resize(side, Image.Resampling.BICUBIC)
    resized_size = (IMAGE_SIZE * width // min(image.size), IMAGE_SIZE * height // min(image.size))
    resized = image.resize(resized_size, Image.Resampling.BICUBIC)
    left, top = (resized.width - IMAGE_SIZE) // 2, (resized.height - IMAGE_SIZE) // 2
    return resized.crop((left, top, left + IMAGE_SIZE, top + IMAGE_SIZE))


@given(sizes, st.sampled_from(sorted(WHOLE)))
def test_whole_pictures(size: tuple[int, int], mode: str) -> None:
    # the long edge is a whole number after the resize, so that all roundings agree
    short = min(size)
    size = (size[0] // short * short, size[1] // short * short)
    image = tiny_image(0, *size)
    inputs = WHOLE[mode](images=image, text=PROMPT, return_tensors="pt")
    expected = normalized(by_hand(image, mode), WHOLE[mode])
    # float32 arithmetic on values of order 1
    assert np.abs(inputs["pixel_values"][0].numpy() - expected).max() < 1e-5
    assert inputs["mm_token_type_ids"].sum() == PATCHES
    assert "image_sizes" not in inputs


@settings(max_examples=60)
@given(st.lists(sizes, min_size=1, max_size=2), st.integers(0, 1))
def test_tiles_are_llava_nexts(images: list[tuple[int, int]], pinpoints: int) -> None:
    """Pixel for pixel and token for token, for single images and for several in a prompt."""
    pictures = [tiny_image(i, *size) for i, size in enumerate(images)]
    text = "USER:" + " <image>" * len(pictures)
    ours, theirs = (
        processors[pinpoints](images=pictures, text=text, return_tensors="pt")
        for processors in (UNPAD, NEXT)
    )
    assert set(ours) == {*theirs, "mm_token_type_ids"}
    for name in theirs:
        assert torch.equal(ours[name], theirs[name]), name
    assert ours["image_sizes"].tolist() == [[height, width] for width, height in images]
    expected = (ours["input_ids"] == UNPAD[pinpoints].image_token_id).long()
    assert torch.equal(ours["mm_token_type_ids"], expected)
    counted = UNPAD[pinpoints]._get_num_multimodal_tokens([(h, w) for w, h in images])
    assert sum(counted.num_image_tokens) == expected.sum()


@pytest.mark.long
@pytest.mark.parametrize("size", [(1439, 900), (640, 480), (333, 1000), (336, 336), (2000, 30)])
def test_real_sizes(size: tuple[int, int]) -> None:
    """CLIP ViT-L/14 at 336 pixels, LLaVA-NeXT's pinpoints."""
    ours, theirs = tiny_tile_processor("spatial_unpad"), tiny_next_processor()
    vision = CLIPVisionConfig(image_size=336, patch_size=14)
    config = LlavitConfig(
        vision_config=vision, image_aspect_ratio="anyres", mm_patch_merge_type="spatial_unpad"
    )
    ours.set_resolution(config)
    theirs.image_processor = LlavaNextImageProcessorPil(
        size={"shortest_edge": 336}, crop_size={"height": 336, "width": 336}
    )  # the rest is its own default
    ours.patch_size = theirs.patch_size = 14
    found, expected = (
        processor(images=tiny_image(0, *size), text=PROMPT, return_tensors="pt")
        for processor in (ours, theirs)
    )
    for name in expected:
        assert torch.equal(found[name], expected[name]), name
    assert 576 < found["mm_token_type_ids"].sum() <= 576 + 48 * 49
    ours.mm_patch_merge_type = "flat"
    flat = ours(images=tiny_image(0, *size), text=PROMPT, return_tensors="pt")
    assert flat["mm_token_type_ids"].sum() == 576 * flat["pixel_values"].shape[1] <= 5 * 576


@pytest.mark.parametrize("merge_type", ["flat", "spatial"])
def test_every_patch_of_every_tile_is_a_token(merge_type: str) -> None:
    processor = tiny_tile_processor(merge_type)
    for size, tiles in (((60, 60), 4), ((20, 90), 3), ((60, 30), 2), ((300, 1), 2)):
        inputs = processor(images=tiny_image(0, *size), text=PROMPT, return_tensors="pt")
        assert inputs["pixel_values"].shape == (1, 1 + tiles, 3, IMAGE_SIZE, IMAGE_SIZE)
        assert inputs["mm_token_type_ids"].sum() == (1 + tiles) * PATCHES


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch", "anyres"])
def test_processors_are_saved_whole(mode: str, tmp_path: Path) -> None:
    processor = processor_for(image_aspect_ratio=mode, mm_patch_merge_type="spatial")
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    assert isinstance(loaded, LlavitProcessor) and loaded.mm_patch_merge_type == "spatial"
    pictures = [tiny_image(1, 33, 70), tiny_image(2, 90, 20)]
    ours, theirs = (
        p(images=pictures, text=TWO_IMAGES_PROMPT, return_tensors="pt") for p in (processor, loaded)
    )
    for name in ours:
        assert torch.equal(ours[name], theirs[name]), name


def test_processors_of_older_checkpoints_load(tmp_path: Path) -> None:
    """Their configuration says nothing about tiles."""
    tiny_processor().save_pretrained(tmp_path)
    path = tmp_path / "processor_config.json"
    path.write_text(path.read_text().replace('"mm_patch_merge_type": "flat",', ""))
    assert "merge" not in path.read_text()
    assert AutoProcessor.from_pretrained(tmp_path).mm_patch_merge_type == "flat"


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch", "anyres"])
def test_processors_tell_their_resolution(mode: str) -> None:
    fields = {"image_aspect_ratio": mode}
    if mode == "anyres":
        fields |= {"mm_patch_merge_type": "spatial", "image_grid_pinpoints": OTHER_PINPOINTS}
    assert resolution_of(processor_for(**fields)) == fields


def test_resolutions_of_transformers_processors() -> None:
    processor = tiny_next_processor(OTHER_PINPOINTS)
    assert resolution_of(processor) == {
        "image_aspect_ratio": "anyres",
        "mm_patch_merge_type": "spatial_unpad",
        "image_grid_pinpoints": OTHER_PINPOINTS,
    }
    processor.image_processor = SiglipImageProcessorPil()
    assert resolution_of(processor) == {"image_aspect_ratio": "stretch"}


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch", "anyres"])
def test_pixel_values_of_the_vision_tower_are_kept(mode: str) -> None:
    siglip = SiglipImageProcessorPil()
    config = LlavitConfig(**tiny_config_arguments(image_aspect_ratio=mode))
    made = image_processor_for(config, siglip)
    assert made.image_mean == siglip.image_mean != image_processor_for(config).image_mean
    assert made.image_std == siglip.image_std


def test_default_pinpoints_are_whole_tiles_of_the_tower() -> None:
    config = LlavitConfig(**tiny_config_arguments(image_aspect_ratio="anyres"))
    assert image_processor_for(config).image_grid_pinpoints == PINPOINTS
    assert LlavaNextImageProcessorPil().image_grid_pinpoints == [
        [12 * h, 12 * w] for h, w in PINPOINTS
    ]


def test_tiles_have_no_room_for_a_class_token() -> None:
    processor = tiny_tile_processor("flat")
    processor.vision_feature_select_strategy = "full"
    with pytest.raises(ConfigurationError, match="Any-Res takes the patches of a tile alone"):
        processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    processor.num_additional_image_tokens = 0  # a tower without one, such as SigLIP
    inputs = processor(images=tiny_image(0, 60, 60), text=PROMPT, return_tensors="pt")
    assert inputs["mm_token_type_ids"].sum() == 5 * PATCHES


@pytest.mark.parametrize(
    "wrong",
    [
        {"image_aspect_ratio": "square"},
        {"mm_patch_merge_type": "unpad"},
        {"image_aspect_ratio": "anyres", "image_grid_pinpoints": [[30, 28]]},
    ],
)
def test_bad_settings(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        processor_for(**wrong)
