"""Where visual tokens lie on images that are padded or cut into tiles, checked on real pixels.

A pixel of the original is painted. The patches with a box around it must change in what the vision
tower is given; patches further away than the resampling filter reaches must not.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from tiny import (
    IMAGE_SIZE,
    PATCH_SIZE,
    PATCHES,
    PINPOINTS,
    PROMPT,
    tiny_config_arguments,
    tiny_image,
    tiny_next_processor,
    tiny_processor,
    tiny_tile_processor,
)
from tiny_vlm import TILED, config_of, tiled_vlm
from transformers import LlavaNextImageProcessorPil, LlavaNextProcessor

from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.model import LlavitConfig, LlavitProcessor
from llavit_lens.vlm.families.llava_like import layout_of

MORE_PINPOINTS = [*PINPOINTS, [28, 28], [84, 84], [28, 112], [112, 56]]
# every patch of every tile is a token
CUT = ("flat", "spatial", "flat more", "spatial more")


def whole(mode: str) -> LlavitProcessor:
    processor = tiny_processor()
    processor.set_resolution(LlavitConfig(**tiny_config_arguments(image_aspect_ratio=mode)))
    return processor


WHOLE = ("crop", "pad", "stretch")
PROCESSORS: dict[str, Any] = {mode: whole(mode) for mode in WHOLE}
for name, points in (("", PINPOINTS), (" more", MORE_PINPOINTS)):
    for merge_type in ("flat", "spatial", "spatial_unpad"):
        PROCESSORS[merge_type + name] = tiny_tile_processor(merge_type, points)
    PROCESSORS["llava_next" + name] = tiny_next_processor(points)

# 30 pixels hold four patches of 7 and a rest that no patch sees, at the edge of every tile
ODD_SIZE = {"size": {"shortest_edge": 30}, "crop_size": {"height": 30, "width": 30}}
ODD_PINPOINTS = [[30, 60], [60, 30], [60, 60]]
for merge_type in ("flat", "spatial_unpad"):
    odd = tiny_tile_processor(merge_type)
    odd.image_processor = LlavaNextImageProcessorPil(image_grid_pinpoints=ODD_PINPOINTS, **ODD_SIZE)
    PROCESSORS[f"odd {merge_type}"] = odd
SHARP = copy.deepcopy(PROCESSORS)
for sharp in SHARP.values():
    sharp.image_processor.resample = Image.Resampling.NEAREST

edges = st.one_of(st.integers(1, 100), st.sampled_from([1, 2, 200, 300]))
sizes = st.tuples(edges, edges)
names = st.sampled_from(sorted(PROCESSORS))
even_names = st.sampled_from([name for name in PROCESSORS if not name.startswith("odd")])
tiled_names = st.sampled_from([name for name in PROCESSORS if name not in WHOLE])


def ends_rows(name: str) -> bool:
    """Whether rows end with newlines, and what is padding is cut off."""
    return "unpad" in name or "next" in name


def see(processor: Any, image: Image.Image) -> tuple[VisualLayout, np.ndarray]:
    """Layout, and what each of its tokens holds of the processed image: [n, values]."""
    inputs = processor(images=image, text=PROMPT, return_tensors="pt")
    layout = layout_of(inputs, processor, config_of(processor), image.size)
    pixels = inputs["pixel_values"][0].numpy()[..., :IMAGE_SIZE, :IMAGE_SIZE]
    tiles = pixels.reshape(-1, 3, 4, PATCH_SIZE, 4, PATCH_SIZE).transpose(0, 2, 4, 1, 3, 5)
    return layout, tiles[layout.tile, layout.row, layout.col].reshape(len(layout), -1)


def pixels_per_pixel(layout: VisualLayout, size: tuple[int, int]) -> np.ndarray:
    """[n, 2]: an upper bound of how many original pixels make one that the tower sees, each axis.

    A whole image is stretched at most; tiles keep its shape, and the smallest grid is one tile.
    """
    of_base = np.array(size) / IMAGE_SIZE
    of_tiles = np.full(2, max(size) / IMAGE_SIZE)
    several = len(layout.grid) > 1
    return np.where((several & (layout.tile == 0))[:, None], of_base, of_tiles)


def held_and_far(
    layout: VisualLayout, size: tuple[int, int], x: int, y: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which boxes hold the middle of pixel (x, y), and which are out of reach of its change."""
    left, top, right, bottom = layout.boxes.T
    held = (left < x + 0.5) & (x + 0.5 < right) & (top < y + 0.5) & (y + 0.5 < bottom)
    # bicubic: 2 pixels of the coarser of the two images, and one for rounding
    reach = 2 * np.maximum(pixels_per_pixel(layout, size), 1) + 1
    gap_x = np.maximum(left - (x + 1), x - right)
    gap_y = np.maximum(top - (y + 1), y - bottom)
    return held, (gap_x > reach[:, 0]) | (gap_y > reach[:, 1])


@pytest.mark.long
@settings(max_examples=300)
@given(sizes, names, st.data())
def test_painting_a_pixel_changes_the_tokens_whose_boxes_hold_it(
    size: tuple[int, int], name: str, data: st.DataObject
) -> None:
    x, y = (data.draw(st.integers(0, edge - 1)) for edge in size)
    color: Any = "black"
    if name == "pad":
        # The color of its bars, for beside others the filter undershoots and the clipping at black
        # hides a pixel; and no so large image that the lesser contrast is rounded away.
        assume(max(size) <= 200)
        color = tuple(int(255 * mean) for mean in PROCESSORS[name].image_processor.image_mean)
    image = Image.new("RGB", size, color)
    layout, before = see(PROCESSORS[name], image)
    image.putpixel((x, y), (255, 255, 255))
    _, after = see(PROCESSORS[name], image)
    changed = np.abs(after - before).max(axis=1) > 0
    held, far = held_and_far(layout, size, x, y)
    assert changed[held].all()
    assert not changed[far].any()
    if name in CUT:  # once in the whole image, once in a tile; else padding is cut off
        on_an_edge = np.isin([x + 0.5, y + 0.5], layout.boxes).any()
        assert on_an_edge or held.sum() == 2


@pytest.mark.long
@settings(max_examples=300)
@given(sizes, names, st.data())
def test_without_a_filter_only_boxes_that_hold_the_pixel_change(
    size: tuple[int, int], name: str, data: st.DataObject
) -> None:
    """Resized by nearest neighbor nothing is smeared, so there is no tolerance to hide in."""
    x, y = (data.draw(st.integers(0, edge - 1)) for edge in size)
    image = Image.new("RGB", size, "black")
    layout, before = see(SHARP[name], image)
    image.putpixel((x, y), (255, 255, 255))
    _, after = see(SHARP[name], image)
    changed = np.abs(after - before).max(axis=1) > 0
    left, top, right, bottom = layout.boxes.T
    # float64 edges of pixels up to 4000: a million roundings would not add up to this
    inside_x = (left < x + 1 - 1e-6) & (right > x + 1e-6)
    inside_y = (top < y + 1 - 1e-6) & (bottom > y + 1e-6)
    assert (inside_x & inside_y)[changed].all()
    if max(size) <= IMAGE_SIZE and name != "crop":  # enlarged: every pixel is seen
        held, _ = held_and_far(layout, size, x, y)
        assert changed[held].all()


@settings(max_examples=200)
@given(sizes, even_names)
def test_boxes_lie_within_the_picture_and_cells_of_a_tile_do_not_overlap(
    size: tuple[int, int], name: str
) -> None:
    layout, _ = see(PROCESSORS[name], Image.new("RGB", size))
    left, top, right, bottom = layout.boxes.T
    assert (left >= 0).all() and (top >= 0).all()
    assert (right <= size[0]).all() and (bottom <= size[1]).all()
    assert (left <= right).all() and (top <= bottom).all()
    cells = set(zip(layout.tile.tolist(), layout.row.tolist(), layout.col.tolist(), strict=True))
    assert len(cells) == len(layout)
    # columns and rows follow each other without gap or overlap, in every tile
    for tile in range(len(layout.grid)):
        own = layout.of_tile(tile)
        for cell, low, high in ((layout.col, left, right), (layout.row, top, bottom)):
            edge = {int(cell[i]): (low[i], high[i]) for i in own}
            assert all((low[i], high[i]) == edge[int(cell[i])] for i in own)
            assert all(edge[c][1] == edge[c + 1][0] for c in edge if c + 1 in edge)
    # and together they are the image, base tile and tiles each (a crop shows less)
    areas = (right - left) * (bottom - top)
    if name == "crop" or ends_rows(name):
        assert areas[layout.tile > 0].sum() <= size[0] * size[1] * (1 + 1e-9)
    else:
        for part in [layout.tile == 0, layout.tile > 0][: len(layout.grid)]:
            assert areas[part].sum() == pytest.approx(size[0] * size[1], rel=1e-9)


@given(sizes, tiled_names)
def test_tokens_are_the_models(size: tuple[int, int], name: str) -> None:
    """Every image token is a patch or a newline, and newlines end rows."""
    processor = PROCESSORS[name]
    inputs = processor(images=Image.new("RGB", size), text=PROMPT, return_tensors="pt")
    layout = layout_of(inputs, processor, config_of(processor), size)
    visual = (inputs["input_ids"][0] == processor.image_token_id).nonzero()[:, 0].tolist()
    assert sorted([*layout.positions.tolist(), *layout.off_image.tolist()]) == visual
    assert layout.positions[:PATCHES].tolist() == visual[:PATCHES]  # the base tile comes first
    if not ends_rows(name):
        assert len(layout.off_image) == 0 and len(layout) == len(layout.grid) * PATCHES
    else:
        after = np.isin(layout.positions + 1, layout.off_image)
        last = np.append(layout.positions[1:] != layout.positions[:-1] + 1, True)
        last[PATCHES - 1] &= bool(after[PATCHES - 1])
        assert (after == last).all() or len(layout) == PATCHES


def test_boxes_by_hand() -> None:
    # 40 x 20, padded to 40 x 40 with 10 above, seen as 28 x 28: a patch is 10 x 10 pixels
    layout, _ = see(PROCESSORS["pad"], Image.new("RGB", (40, 20)))
    assert layout.boxes[4].tolist() == [0, 0, 10, 10]
    assert layout.boxes[0].tolist() == [0, 0, 10, 0]  # padding only
    assert layout.on_image.reshape(4, 4).all(axis=1).tolist() == [False, True, True, False]
    # 56 x 28 is one resolution: the base tile squeezes it, two tiles show it as it is
    layout, _ = see(PROCESSORS["flat"], Image.new("RGB", (56, 28)))
    assert layout.grid == ((4, 4),) * 3
    assert layout.boxes[layout.index(1, 1)].tolist() == [14, 7, 28, 14]
    assert layout.boxes[layout.index(1, 1, tile=1)].tolist() == [7, 7, 14, 14]
    assert layout.boxes[layout.index(1, 1, tile=2)].tolist() == [35, 7, 42, 14]
    # 56 x 32 fills 56 x 32 of 2 x 2 tiles, 12 pixels of padding above and below
    layout, _ = see(PROCESSORS["spatial"], Image.new("RGB", (56, 32)))
    assert layout.boxes[layout.index(0, 0, tile=1)].tolist() == [0, 0, 7, 0]
    assert layout.boxes[layout.index(1, 0, tile=1)].tolist() == [0, 0, 7, 2]
    assert layout.boxes[layout.index(0, 1, tile=4)].tolist() == [35, 16, 42, 23]
    # of 8 rows of patches it fills 4.57: int(4.57) = 4, so (8 - 4) // 2 = 2 are cut on each side
    for name in ("spatial_unpad", "llava_next"):
        layout, _ = see(PROCESSORS[name], Image.new("RGB", (56, 32)))
        assert len(layout) == PATCHES + 4 * 8 and len(layout.off_image) == 4
        assert layout.boxes[layout.index(2, 0, tile=1)].tolist() == [0, 2, 7, 9]
        with pytest.raises(ConfigurationError, match="has no visual token"):
            layout.index(1, 0, tile=1)


@pytest.mark.long
@pytest.mark.parametrize("kind", TILED)
@pytest.mark.parametrize("size", [(60, 30), (30, 90), (61, 57), (90, 4)])
def test_tokens_of_the_model_are_those_that_the_layout_names(
    kind: str, size: tuple[int, int]
) -> None:
    """End to end: patch embeddings are the features (no attention); layer 0 shows what saw it."""
    vlm = tiled_vlm(kind, vision_feature_layer=[0])
    image = tiny_image(0, *size)
    before = vlm.trace(image)
    for x, y in ((0, 0), (size[0] // 3, size[1] // 3), (size[0] - 1, size[1] - 2)):
        painted = image.copy()
        color = image.getpixel((x, y))
        painted.putpixel((x, y), tuple(255 - 255 * (c > 127) for c in color))
        after = vlm.trace(painted)
        assert after.layout == before.layout
        changed = (after.hidden[0] != before.hidden[0]).any(dim=1).numpy()
        held, far = held_and_far(before.layout, size, x, y)
        assert held.any() and changed[held].all() and not changed[far].any()


def test_two_pictures_of_different_sizes_are_told_apart_by_the_model() -> None:
    """Tokens of the second image do not depend on the first, nor on how far a batch is filled."""
    vlm = tiled_vlm("spatial_unpad", vision_feature_layer=[0], visual_attention="causal")
    small, large = tiny_image(1, 60, 30), tiny_image(2, 64, 60)
    alone = vlm.trace(large)
    inputs = vlm.processor(images=[small, large], text="<image> <image>", return_tensors="pt")
    with torch.no_grad():
        features = vlm.model.get_image_features(
            inputs["pixel_values"], image_sizes=inputs["image_sizes"]
        ).pooler_output
    visual = len(alone.layout) + len(alone.layout.off_image)
    assert [len(f) for f in features] == [PATCHES + 4 * 9, visual]
    offset = alone.layout.positions[0]
    # the projector runs on more rows at once: sums may be in another order
    assert torch.allclose(
        features[1][alone.layout.positions - offset], alone.hidden[0], atol=1e-5, rtol=0
    )


def spoil(change: Callable[[dict[str, Any], Any], None]) -> tuple[dict[str, Any], Any]:
    processor = tiny_tile_processor("spatial_unpad")
    inputs = dict(processor(images=tiny_image(0, 60, 60), text=PROMPT, return_tensors="pt"))
    change(inputs, processor)
    return inputs, processor


SPOILED: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    "another image": lambda inputs, _: inputs["image_sizes"].fill_(59),
    "a tile too few": lambda inputs, _: inputs.update(pixel_values=inputs["pixel_values"][:, 1:]),
    "two images": lambda inputs, _: inputs.update(
        pixel_values=inputs["pixel_values"].expand(2, -1, -1, -1, -1)
    ),
    "one image": lambda inputs, _: inputs.update(pixel_values=inputs["pixel_values"][:, 0]),
    "other merge type": lambda _, processor: setattr(processor, "mm_patch_merge_type", "flat"),
    "other pinpoints": lambda _, processor: setattr(
        processor.image_processor, "image_grid_pinpoints", [[28, 56]]
    ),
    "other patches": lambda _, processor: setattr(processor, "patch_size", 14),
    "a token too few": lambda inputs, _: inputs["mm_token_type_ids"][0, -9:].zero_(),
    "smaller base tile": lambda _, processor: setattr(
        processor.image_processor, "size", {"shortest_edge": 14}
    ),
    "larger crop": lambda _, processor: setattr(
        processor.image_processor, "crop_size", {"height": 56, "width": 56}
    ),
}


@pytest.mark.parametrize("fault", SPOILED)
def test_a_layout_that_does_not_fit_is_one_error(fault: str) -> None:
    inputs, processor = spoil(SPOILED[fault])
    if fault == "a token too few":  # of the image's own
        visual = (inputs["input_ids"][0] == processor.image_token_id).nonzero()[-1]
        inputs["input_ids"][0, visual] = 0
    with pytest.raises(ConfigurationError):
        layout_of(inputs, processor, config_of(processor), (60, 60))


def test_the_sound_layout_is_none() -> None:
    inputs, processor = spoil(lambda *_: None)
    assert len(layout_of(inputs, processor, config_of(processor), (60, 60)).grid) == 5


def test_an_unknown_family_with_llava_nexts_tiles_is_refused() -> None:
    """It may well order its tokens in another way."""
    inputs, processor = spoil(lambda *_: None)

    class Other:
        image_processor = processor.image_processor
        patch_size = PATCH_SIZE

    with pytest.raises(ConfigurationError, match="not known here"):
        layout_of(inputs, Other(), config_of(processor), (60, 60))
    assert isinstance(PROCESSORS["llava_next"], LlavaNextProcessor)


def test_json_keeps_newlines_and_older_files_have_none() -> None:
    layout, _ = see(PROCESSORS["spatial_unpad"], tiny_image(0, 60, 60))
    fields = json.loads(json.dumps(layout.to_dict()))
    copy = VisualLayout.from_dict(fields)
    assert copy == layout and copy.off_image.dtype == np.int64 and len(copy.off_image) == 8
    del fields["off_picture"]
    assert len(VisualLayout.from_dict(fields).off_image) == 0
    assert VisualLayout.from_dict(fields) != layout


def test_padding_that_torchvision_puts_elsewhere_is_refused() -> None:
    """Where an image smaller than the crop is padded by an odd number of pixels."""
    processor = whole("crop")
    processor.image_processor.size = {"shortest_edge": 17}
    assert len(see(processor, tiny_image())[0]) == PATCHES

    class CLIPImageProcessor:
        backend = "torchvision"

        def __getattr__(self, name: str) -> Any:
            return getattr(processor.image_processor, name)

    inputs = processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    stand_in = copy.copy(processor)
    stand_in.image_processor = CLIPImageProcessor()
    with pytest.raises(ConfigurationError, match="use CLIPImageProcessorPil"):
        layout_of(inputs, stand_in, config_of(processor), (40, 30))
    processor.image_processor.size = {"shortest_edge": 18}
    inputs = processor(images=tiny_image(), text=PROMPT, return_tensors="pt")
    layout_of(inputs, stand_in, config_of(processor), (40, 30))


def test_parts_of_a_picture_by_tile() -> None:
    layout, _ = see(PROCESSORS["spatial"], tiny_image(0, 60, 60))
    assert layout.of_tile(0).tolist() == list(range(PATCHES))
    assert layout.of_tile("grid").tolist() == list(range(PATCHES, 5 * PATCHES))
    assert {(int(layout.row[i]), int(layout.col[i])) for i in layout.of_tile(3)} == {
        (row, col) for row in range(4) for col in range(4)
    }
    for tile in (5, -1, "all"):
        with pytest.raises(ConfigurationError, match="tiles 0 to 4, or 'grid' for 1 to 4"):
            layout.of_tile(tile)  # type: ignore[arg-type]
    one, _ = see(PROCESSORS["pad"], tiny_image())
    with pytest.raises(ConfigurationError, match="one tile, 0"):
        one.of_tile("grid")
