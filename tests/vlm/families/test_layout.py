"""Where visual tokens lie, checked on the pixels that the processor really made."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import IMAGE_SIZE, PATCH_SIZE, PROMPT, tiny_image, tiny_processor
from tiny_vlm import config_of, plain_processor
from transformers import CLIPImageProcessorPil, LlavaProcessor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.vlm.families.llava_like import layout_of

SIDE = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
CROP = {"size": {"shortest_edge": IMAGE_SIZE}, "crop_size": SIDE}
STRETCH = {"size": SIDE, "do_center_crop": False}
# resize to less than the crop: the rest is zero padding, of unequal width on the two sides
PADDED_CROP = {"size": {"shortest_edge": 17}, "crop_size": SIDE}
# wide pixels-per-patch and a grid that is not square
WIDE_STRETCH = {"size": {"height": 21, "width": 38}, "do_center_crop": False}

STYLES = {
    "crop": CROP,
    "stretch": STRETCH,
    "padded crop": PADDED_CROP,
    "wide stretch": WIDE_STRETCH,
}


def processor_with(**image_options: Any) -> LlavaProcessor:
    processor = plain_processor()
    processor.image_processor = CLIPImageProcessorPil(**image_options)
    return processor


PROCESSORS = {name: processor_with(**options) for name, options in STYLES.items()}
sizes = st.tuples(st.integers(5, 90), st.integers(5, 90))
styles = st.sampled_from(sorted(STYLES))


def see(processor: LlavaProcessor, image: Image.Image) -> tuple[VisualLayout, np.ndarray]:
    """Layout, and what each grid cell of the processed image holds: [n, values]."""
    inputs = processor(images=image, text=PROMPT, return_tensors="pt")
    layout = layout_of(inputs, processor, config_of(processor), image.size)
    (rows, cols), p = layout.grid[0], PATCH_SIZE
    pixels = inputs["pixel_values"][0, :, : rows * p, : cols * p].numpy()
    cells = pixels.reshape(3, rows, p, cols, p).transpose(1, 3, 0, 2, 4)
    return layout, cells.reshape(rows * cols, -1)


@given(sizes, styles, st.data())
def test_painting_a_pixel_changes_the_patch_whose_box_holds_it(
    size: tuple[int, int], style: str, data: st.DataObject
) -> None:
    image = Image.new("RGB", size, "black")
    layout, before = see(PROCESSORS[style], image)
    areas = (layout.boxes[:, 2] - layout.boxes[:, 0]) * (layout.boxes[:, 3] - layout.boxes[:, 1])
    patch = data.draw(st.sampled_from(np.flatnonzero(areas > 0).tolist()))
    left, top, right, bottom = layout.boxes[patch]
    x, y = int((left + right) / 2), int((top + bottom) / 2)
    image.putpixel((x, y), (255, 255, 255))
    _, after = see(PROCESSORS[style], image)
    change = np.abs(after - before).max(axis=1)
    assert change[patch] > 0

    # and no patch that is further away than the bicubic filter reaches (2 pixels of the smaller of
    # the two images, and one for rounding)
    scale = np.array([(right - left), (bottom - top)]) / PATCH_SIZE
    reach = 2 * np.maximum(scale, 1) + 1
    gap_x = np.maximum(layout.boxes[:, 0] - (x + 1), x - layout.boxes[:, 2])
    gap_y = np.maximum(layout.boxes[:, 1] - (y + 1), y - layout.boxes[:, 3])
    far = (gap_x > reach[0]) | (gap_y > reach[1])
    assert not change[far & (areas > 0)].any()


@given(sizes, styles)
def test_boxes_tile_what_the_model_sees(size: tuple[int, int], style: str) -> None:
    layout, _ = see(PROCESSORS[style], Image.new("RGB", size))
    left, top, right, bottom = layout.boxes.T
    assert (left >= 0).all() and (top >= 0).all()
    assert (right <= size[0]).all() and (bottom <= size[1]).all()
    assert (left <= right).all() and (top <= bottom).all()
    rows, cols = layout.grid[0]
    boxes = layout.boxes.reshape(rows, cols, 4)
    assert np.array_equal(boxes[:, 1:, 0], boxes[:, :-1, 2])  # each begins where the last one ends
    assert np.array_equal(boxes[1:, :, 1], boxes[:-1, :, 3])


def test_boxes_of_a_landscape_by_hand() -> None:
    # 56 x 28 -> unchanged by the resize -> the middle 28 columns
    layout, _ = see(PROCESSORS["crop"], Image.new("RGB", (56, 28)))
    assert layout.boxes[0].tolist() == [14, 0, 21, 7]
    assert layout.boxes[15].tolist() == [35, 21, 42, 28]
    # 112 x 56 stretched to 28 x 28: a patch is 28 x 14 original pixels
    layout, _ = see(PROCESSORS["stretch"], Image.new("RGB", (112, 56)))
    assert layout.boxes[5].tolist() == [28, 14, 56, 28]
    # 17 x 17, padded to 28 x 28: 6 before (the larger half), 5 after
    layout, _ = see(PROCESSORS["padded crop"], Image.new("RGB", (17, 17)))
    assert layout.boxes[0].tolist() == [0, 0, 1, 1]
    assert layout.boxes[15].tolist() == [15, 15, 17, 17]


def test_positions_are_the_placeholders_in_order() -> None:
    processor = plain_processor()
    inputs = processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    layout = layout_of(inputs, processor, config_of(processor), (40, 30))
    ids = inputs["input_ids"][0]
    assert layout.positions.tolist() == (ids == processor.image_token_id).nonzero()[:, 0].tolist()
    assert list(zip(layout.row.tolist(), layout.col.tolist(), strict=True)) == [
        (row, col) for row in range(4) for col in range(4)
    ]
    assert (layout.tile == 0).all() and layout.grid == ((4, 4),)


def test_token_types_and_placeholder_ids_agree() -> None:
    typed, plain = tiny_processor(), plain_processor()
    layouts = [
        layout_of(
            processor(images=tiny_image(), text=PROMPT, return_tensors="pt"),
            processor,
            config_of(processor),
            (40, 30),
        )
        for processor in (typed, plain)
    ]
    assert layouts[0] == layouts[1]


def test_class_token_of_the_full_strategy_lies_nowhere() -> None:
    processor = plain_processor()
    processor.vision_feature_select_strategy = "full"
    inputs = processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    visual = (inputs["input_ids"][0] == processor.image_token_id).nonzero()[:, 0].tolist()
    layout = layout_of(inputs, processor, config_of(processor), (40, 30))
    assert len(visual) == 17
    assert layout.positions.tolist() == visual[1:]


def test_a_grid_that_does_not_fit_is_an_error() -> None:
    processor = plain_processor()
    inputs = processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    processor.patch_size = 14
    with pytest.raises(ConfigurationError, match="16 visual tokens do not fill a grid of 2 x 2"):
        layout_of(inputs, processor, config_of(processor), (40, 30))


@pytest.mark.parametrize(
    "options",
    [
        {"size": {"shortest_edge": 28, "longest_edge": 56}},
        {"size": {"shortest_edge": 28}, "do_pad": True},
        {"size": {"shortest_edge": 28}, "do_center_crop": False},
    ],
)
def test_unknown_ways_of_resizing_are_refused(options: dict[str, Any]) -> None:
    processor = processor_with(**options)
    inputs = plain_processor()(images=tiny_image(), text=PROMPT, return_tensors="pt")
    with pytest.raises(ConfigurationError):
        layout_of(inputs, processor, config_of(processor), (40, 30))


def test_tiled_pixel_values_are_refused() -> None:
    processor = plain_processor()
    inputs = dict(processor(images=tiny_image(), text=PROMPT, return_tensors="pt"))
    inputs["pixel_values"] = torch.zeros(1, 5, 3, 28, 28)
    with pytest.raises(ConfigurationError, match="not known"):
        layout_of(inputs, processor, config_of(processor), (40, 30))


def test_index_finds_cells_and_names_what_is_not_there() -> None:
    layout, _ = see(PROCESSORS["wide stretch"], tiny_image())
    assert layout.grid == ((3, 5),)
    assert layout.index(0, 0) == 0
    assert layout.index(1, 2) == 7
    assert layout.index(-1, -1) == 14 == len(layout) - 1
    for row, col, tile in ((3, 0, 0), (0, 5, 0), (-4, 0, 0), (0, -6, 0), (0, 0, 1), (0, 0, -1)):
        with pytest.raises(ConfigurationError, match="there is no"):
            layout.index(row, col, tile)


@given(sizes, styles)
def test_json_round_trip_is_equal(size: tuple[int, int], style: str) -> None:
    layout, _ = see(PROCESSORS[style], Image.new("RGB", size))
    copy = VisualLayout.from_dict(json.loads(json.dumps(layout.to_dict())))
    assert copy == layout
    assert copy.boxes.dtype == np.float64 and copy.positions.dtype == np.int64
    moved = VisualLayout.from_dict(
        {**layout.to_dict(), "positions": (layout.positions + 1).tolist()}
    )
    assert moved != layout


def test_a_processor_that_no_layout_is_about_says_what_to_do() -> None:
    processor = plain_processor()
    inputs = processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    processor.patch_size = None
    with pytest.raises(ConfigurationError, match=r"say where they lie with ll\.register_family"):
        layout_of(inputs, processor, config_of(processor), (40, 40))
