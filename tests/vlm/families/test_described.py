"""What is said of each family besides its layout: prompts, attention, and errors of layouts."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from any_model import merged, tiny_config
from family_cases import CASES
from places import read

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.family import image_mark
from llavit_lens.vlm.families.reading import Reading

SIZE = (150, 90)
LLAVAS = ("llava", "vipllava", "llava_next")


@cache
def parts(name: str) -> tuple[Any, Any]:
    case = CASES[name]
    processor = case.processor()
    processor.chat_template = None  # some classes have one of their own
    return processor, tiny_config(case.model_type, **case.config)


def reading(name: str, size: tuple[int, int] = SIZE) -> Reading:
    processor, config = parts(name)
    return read(processor, config, CASES[name].prompt, size)


def changed(seen: Reading, **inputs: Any) -> Reading:
    """The reading, with other inputs."""
    return replace(seen, inputs={**seen.inputs, **inputs})


@pytest.mark.parametrize("name", CASES)
def test_a_question_has_a_plain_form(name: str) -> None:
    """It holds the mark of each image once, and the processor takes it. LLaVA's is its own."""
    processor, config = parts(name)
    family, mark = family_of(config), image_mark(processor)
    texts = [family.prompt(processor, "What is it?", name, images) for images in (0, 1, 2)]
    assert [text.count(mark) for text in texts] == [0, 1, 2]
    assert all("What is it?" in text for text in texts)
    assert ("ASSISTANT" in texts[1]) == (name in LLAVAS)
    assert "<" not in texts[0]  # no tag of an image that is not there
    if name != "gemma3_pan":
        seen = read(processor, config, texts[1], SIZE)
        assert len(family.layouts(seen)) == 1


@pytest.mark.parametrize("name", CASES)
def test_what_visual_tokens_see_by_design(name: str) -> None:
    _, config = parts(name)
    mode = "bidirectional" if CASES[name].sees_itself else "causal"
    assert family_of(config).visual_attention(config) == mode


def test_gemma4_says_in_its_config_what_visual_tokens_see() -> None:
    case = CASES["gemma4"]
    text = {"text_config": {"use_bidirectional_attention": "vision"}}
    config = tiny_config("gemma4", **merged(case.config, text))
    assert family_of(config).visual_attention(config) == "bidirectional"


def refused(seen: Reading, match: str) -> None:
    with pytest.raises(ConfigurationError, match=match):
        family_of(seen.config).layouts(seen)


def test_grids_that_are_no_images_are_refused() -> None:
    seen = reading("qwen2_vl")
    for grid, match in (
        ([2, 6, 10], "2 x 6 x 10 patches is no image"),
        ([1, 5, 10], "1 x 5 x 10 patches is no image in tokens of 2 x 2"),
        ([1, 6, 8], "15 visual tokens are not the 12 of 3 x 4"),
    ):
        refused(changed(seen, image_grid_thw=torch.tensor([grid])), match)
    missing = {name: value for name, value in seen.inputs.items() if name != "image_grid_thw"}
    refused(replace(seen, inputs=missing), "returned no image_grid_thw")


def test_the_size_of_tokens_comes_from_the_processor_then_from_the_model() -> None:
    seen = reading("video_llama_3")
    assert seen.inputs["image_merge_sizes"].tolist() == [2]
    refused(changed(seen, image_merge_sizes=torch.tensor([1])), "15 visual tokens are not the 60")
    seen = reading("qwen2_vl")
    bare = type("Bare", (), {})()
    processor = type("Processor", (), {"image_processor": bare})()
    (layout,) = family_of(seen.config).layouts(replace(seen, processor=processor))
    assert layout.grid == ((3, 5),)  # spatial_merge_size of the vision config


@pytest.mark.parametrize("name", ["internvl", "ovis2", "idefics3", "aya_vision"])
def test_other_tiles_than_the_settings_make_are_refused(name: str) -> None:
    seen = reading(name)
    pixels = seen.inputs["pixel_values"]
    fewer = pixels[:, :-1] if pixels.ndim == 5 else pixels[:-1]
    refused(changed(seen, pixel_values=fewer), r"make \d+ tiles, but \w+ made \d+")


def test_tiles_of_another_size_are_refused() -> None:
    seen = reading("internvl")
    pixels = torch.zeros(*seen.inputs["pixel_values"].shape[:-2], 28, 28)
    refused(changed(seen, pixel_values=pixels), "made tiles of 28 x 28 pixels in a way")


def test_tokens_that_tiles_cannot_share_are_refused() -> None:
    seen = reading("internvl")
    refused(replace(seen, positions=seen.positions[:-1]), "27 visual tokens are no equal shares")


def test_a_larger_limit_of_tiles_changes_the_tiles() -> None:
    """An argument of the call goes before the image processor's own setting."""
    processor, config = parts("internvl")
    seen = read(processor, config, CASES["internvl"].prompt, (300, 100), max_patches=2)
    (layout,) = family_of(config).layouts(seen)
    assert len(layout.grid) == 3 and layout.whole == 2
    refused(replace(seen, options={}), "make 4 tiles, but InternVLProcessor made 3")


def test_an_image_without_splitting_is_one_tile() -> None:
    processor, config = parts("idefics3")
    seen = read(processor, config, CASES["idefics3"].prompt, SIZE, do_image_splitting=False)
    (layout,) = family_of(config).layouts(seen)
    assert layout.grid == ((2, 2),) and layout.boxes[-1].tolist() == [75, 45, 150, 90]


def test_ovis_may_take_the_canvas_that_is_closest_in_shape() -> None:
    processor, config = parts("ovis2")
    option = {"use_covering_area_grid": False, "min_patches": 1}
    seen = read(processor, config, CASES["ovis2"].prompt, (300, 100), **option)
    (layout,) = family_of(config).layouts(seen)
    assert len(layout.grid) == 4 and layout.whole == 0
    assert layout.boxes[layout.tile == 1][0].tolist() == [0, 0, 50, 50]


def test_a_grid_that_is_not_padded_as_said_is_refused() -> None:
    seen = reading("kimi_k25")
    _, height, width = seen.inputs["image_grid_thw"][0].tolist()
    refused(
        changed(seen, image_grid_thw=torch.tensor([[1, width, height]])), "is padded to .* but the"
    )


def test_pixels_that_are_not_padded_to_a_square_are_refused() -> None:
    seen = reading("janus")
    pixels = torch.zeros(1, 3, 56, 42)
    refused(changed(seen, pixel_values=pixels), "only resizing and padding to a square are")


def test_cropped_rows_are_refused() -> None:
    seen = replace(reading("mistral3"), options={"do_center_crop": True})
    refused(seen, "crops the image's center")


def test_coordinates_that_are_no_grid_are_refused() -> None:
    seen = reading("gemma4")
    places = seen.inputs["image_position_ids"].clone()
    places[0, 0] = -1
    refused(changed(seen, image_position_ids=places), "are not those of a grid of 12 x 20")


def test_grids_of_another_image_are_refused() -> None:
    seen = reading("molmo2")
    grids = seen.inputs["image_grids"].flip(1)
    refused(changed(seen, image_grids=grids), "makes grids of .* but the processor returned")


def test_shapes_of_other_tiles_are_refused() -> None:
    seen = reading("minicpmv4_6")
    shapes = seen.inputs["target_sizes"][:-1]
    refused(changed(seen, target_sizes=shapes), "returned target_sizes of 2: its settings")


def test_a_smaller_whole_view_counts_its_own_tokens() -> None:
    """MiniCPM keeps four times the tokens if the call says so."""
    processor, config = parts("minicpmv4_6")
    many = read(processor, config, CASES["minicpmv4_6"].prompt, SIZE, downsample_mode="4x")
    (layout,) = family_of(config).layouts(many)
    shapes = many.inputs["target_sizes"].tolist()
    assert layout.grid == tuple((rows // 2, cols // 2) for rows, cols in shapes)


def test_windows_that_fill_no_tile_are_refused() -> None:
    seen = reading("granite4_vision")
    seen.processor.downsample_rate = "1/3"
    try:
        refused(seen, "windows of 3 patches do not fill tiles of 8 patches")
    finally:
        seen.processor.downsample_rate = "1/2"


def test_half_a_row_that_is_dropped_has_no_box() -> None:
    """LightOnOCR sees 150 x 90 pixels as 11 x 7 patches, and merges 5 x 3 pairs of them."""
    seen = reading("lighton_ocr")
    assert seen.row("image_sizes") == [98, 154]
    (layout,) = family_of(seen.config).layouts(seen)
    assert layout.boxes[-1, 2:].tolist() == pytest.approx([150 * 140 / 154, 90 * 84 / 98])


def test_the_code_that_ends_a_row_is_its_last() -> None:
    seen = reading("emu3")
    (layout,) = family_of(seen.config).layouts(seen)
    rows, cols = layout.grid[0]
    first = seen.positions[0]
    assert (layout.off_image - first).tolist() == [row * (cols + 1) + cols for row in range(rows)]
