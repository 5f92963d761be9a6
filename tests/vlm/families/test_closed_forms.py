"""Layouts in closed form against what the processor does to four images: see `places`."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from any_model import tiny_config
from family_case import Case
from family_cases import CASES
from hypothesis import given, settings
from hypothesis import strategies as st
from places import GROUPS, check_places, read

from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families import family_of
from llavit_lens.vlm.families.reading import Reading

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
