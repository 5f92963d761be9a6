"""Layouts in closed form against what the processor does to four images: see `places`."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from any_model import tiny_config
from family_case import Case
from family_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from places import GROUPS, check_places, read, read_several

from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.reading import Reading
from llavit_lens.vlm.vlm import VLM

PAN = {
    "do_pan_and_scan": True,
    "pan_and_scan_min_crop_size": 16,
    "pan_and_scan_max_num_crops": 4,
    "pan_and_scan_min_ratio_to_activate": 1.2,
}
OPTIONS: dict[str, dict[str, Any]] = {"gemma3_pan": PAN}
NAMES = [name for name, case in CASES.items() if case.kind in GROUPS]
sizes = st.tuples(st.integers(20, 400), st.integers(20, 400))


@cache
def set_up(name: str) -> tuple[Case, Any, Any]:
    case = CASES[name]
    return case, case.processor(), tiny_config(case.model_type, **case.config)


def seen(name: str, size: tuple[int, int]) -> tuple[Case, Reading, VisualLayout]:
    case, processor, config = set_up(name)
    reading = read(processor, config, case.prompt, size, **OPTIONS.get(name, {}))
    (layout,) = family_of(config).layouts(reading)
    return case, reading, layout


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4)
@given(size=sizes)
def test_boxes_are_where_the_numbers_of_tokens_come_from(name: str, size: tuple[int, int]) -> None:
    case, reading, layout = seen(name, size)
    assert layout.precision == "exact" == family_of(reading.config).precision
    assert layout.all_positions.tolist() == reading.positions.tolist()
    assert case.newlines or len(layout.off_image) == 0
    check_places(case, reading, layout)


@pytest.mark.parametrize("name", [name for name in NAMES if CASES[name].several_views])
def test_the_whole_image_is_where_the_layout_says(name: str) -> None:
    _, _, layout = seen(name, (600, 300))
    assert len(layout.grid) > 1 and layout.whole is not None
    box = layout.boxes[layout.tile == layout.whole]
    assert box[:, :2].min(0).tolist() == [0, 0] and box[:, 2:].max(0) == pytest.approx([600, 300])


REAL: dict[str, dict[str, Any]] = {
    "internvl": {"size": {"height": 448, "width": 448}, "max_patches": 12},
    "idefics3": {"size": {"longest_edge": 1456}, "max_image_size": {"longest_edge": 364}},
    "gemma3": {"size": {"height": 896, "width": 896}},
    "qwen2_vl": {"size": {"shortest_edge": 3136, "longest_edge": 12845056}},
    "mistral3": {"size": {"longest_edge": 1540}},
    "ovis2": {"size": {"height": 448, "width": 448}, "max_patches": 9},
    "minicpmv4_6": {"scale_resolution": 448, "max_slice_nums": 9},
    "gemma4": {"max_soft_tokens": 280},
}
"""Settings of image processors as real checkpoints have them."""


@pytest.mark.long
@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("size", [(1000, 700), (640, 2000)])
def test_boxes_at_real_sizes(name: str, size: tuple[int, int]) -> None:
    case = CASES[name]
    processor, config = case.processor(), tiny_config(case.model_type, **case.config)
    for key, value in REAL[name].items():
        setattr(processor.image_processor, key, value)
    reading = read(processor, config, case.prompt, size)
    (layout,) = family_of(config).layouts(reading)
    check_places(case, reading, layout)


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"llava_onevision", "got_ocr2"}))
def test_several_images_are_laid_out_as_each_by_itself(name: str) -> None:
    case, processor, config = set_up(name)
    sizes = [(90, 70), (200, 120), (64, 150)]
    several = read_several(processor, config, case.prompt, sizes, **OPTIONS.get(name, {}))
    layouts = family_of(config).layouts(several)
    alone = [seen(name, size)[2] for size in sizes]
    for layout, one in zip(layouts, alone, strict=True):
        assert replace(layout, positions=one.positions, off_image=one.off_image) == one
        assert (np.diff(layout.all_positions)[: len(one)] >= 1).all()
    placed = np.concatenate([layout.all_positions for layout in layouts])
    assert placed.tolist() == several.positions.tolist()


def test_several_images_of_onevision_are_squares() -> None:
    """With several images in a prompt the processor makes one tile of each, padded to a square."""
    case, processor, config = set_up("llava_onevision")
    sizes = [(100, 60), (60, 100)]
    several = read_several(processor, config, case.prompt, sizes)
    wide, high = family_of(config).layouts(several)
    for layout, axis in ((wide, 1), (high, 0)):
        assert layout.grid == ((4, 4),) and layout.whole == 0 and len(layout.off_image) == 1
        assert layout.off_image[0] == layout.positions[-1] + 1
        # 20 pixels of padding before and after 60 pixels of image
        edges = np.unique(layout.boxes[:, [axis, axis + 2]]).tolist()
        assert edges == [0, 5, 30, 55, 60]
        assert np.unique(layout.boxes[:, [1 - axis, 3 - axis]]).tolist() == [0, 25, 50, 75, 100]


def test_pixels_that_fill_no_patch_have_no_box() -> None:
    """60 pixels hold four patches of 14 and a rest; painting it changes no visual token."""
    case = CASES["paligemma"]
    processor = case.processor()
    processor.image_processor.size = {"height": 60, "width": 60}
    model = case.model(vision_config={"image_size": 60, "projection_dim": 64})
    vlm = VLM(model, processor, "tiny")
    image = Image.new("RGB", (600, 600), "gray")
    plain = vlm.trace(image, case.prompt)
    assert plain.layout.boxes[:, 2:].max(0).tolist() == [560, 560]
    image.paste((255, 0, 0), (590, 0, 600, 600))
    assert torch.equal(vlm.trace(image, case.prompt).hidden[0], plain.hidden[0])
    image.paste((255, 0, 0), (555, 0, 600, 600))
    assert not torch.equal(vlm.trace(image, case.prompt).hidden[0], plain.hidden[0])
