"""Which patches show a region of the picture: those that it covers by half, or by its share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import PROMPT, tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm

import llavit_lens as ll
from llavit_lens.errors import ConfigurationError
from llavit_lens.images.layout import VisualLayout
from llavit_lens.images.regions import Box, Mask, area_of, cells_of, shape_of


@pytest.fixture(scope="module")
def layout() -> VisualLayout:
    """Of 40 x 30 pixels, of which the model sees the middle 30 x 30 in 4 x 4 patches."""
    return tiny_vlm("llavit").prepare(tiny_image(), PROMPT).layout


@pytest.fixture(scope="module")
def tiled() -> VisualLayout:
    """Of 60 x 30 pixels in a base tile and two more."""
    return tiled_vlm("flat").prepare(tiny_image(0, 60, 30), PROMPT).layout


edges = st.integers(0, 40)


@given(edges, edges, edges, edges)
def test_boxes_and_masks_of_whole_pixels_agree_with_counting(
    layout: VisualLayout, left: int, top: int, right: int, bottom: int
) -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[top:bottom, left:right] = True
    fine = mask.repeat(16, axis=0).repeat(16, axis=1)  # cells begin between pixels
    covered = []
    for x0, y0, x1, y1 in layout.boxes:
        inside = fine[round(y0 * 16) : round(y1 * 16), round(x0 * 16) : round(x1 * 16)]
        covered.append(inside.mean())
    sure = [i for i, part in enumerate(covered) if part > 0.55]
    maybe = [i for i, part in enumerate(covered) if part >= 0.45]
    for region in ((left, top, right, bottom), mask):
        if not maybe:
            with pytest.raises(ConfigurationError, match=r"covers no patch|is empty"):
                cells_of(layout, region)
        elif sure:
            found = cells_of(layout, region).tolist()
            assert set(sure) <= set(found) <= set(maybe) and found == sorted(found)


def test_half_a_patch_is_in_and_less_is_not(layout: VisualLayout) -> None:
    left, top, right, bottom = layout.boxes[5]
    middle = (left + right) / 2
    assert cells_of(layout, (left, top, middle, bottom)).tolist() == [5]
    with pytest.raises(ConfigurationError, match="covers no patch"):
        cells_of(layout, (left, top, middle - 0.1, bottom))


def test_a_corner_of_a_patch_is_not_enough(layout: VisualLayout) -> None:
    """Of 7.6 x 7.5 pixels from 11.9 on, 5.5 x 5 are less than half and 6.5 x 5 are more."""
    for width, found in ((6, []), (7, [5])):
        mask = np.zeros((30, 40), dtype=bool)
        mask[10:15, 20 - width : 20] = True
        for region in (mask, (20 - width, 10, 20, 15)):
            if found:
                assert cells_of(layout, region).tolist() == found
            else:
                with pytest.raises(ConfigurationError, match="covers no patch"):
                    cells_of(layout, region)


def test_cells_keep_their_order(layout: VisualLayout) -> None:
    assert cells_of(layout, [(3, 3), (0, 1), (-1, 0)]).tolist() == [15, 1, 12]
    assert cells_of(layout, [(0, 0), (0, 1), (0, 2), (0, 3)]).tolist() == [0, 1, 2, 3]


def test_boxes_and_masks_are_told_from_cells() -> None:
    mask = np.eye(4, dtype=bool)
    for box in ((0, 0, 3, 4.5), [0, 0, 3, 4.5], np.array([0, 0, 3, 4.5]), Box(0, 0, 3, 4.5)):
        assert area_of(box) == Box(0, 0, 3, 4.5)
    for region in (mask, torch.as_tensor(mask), Mask(mask)):
        found = area_of(region)
        assert isinstance(found, Mask) and np.array_equal(found.mask, mask)
    assert area_of([(0, 0)] * 4) is None and area_of((1, 2)) is None


def test_a_box_on_tiles_takes_cells_of_every_tile(tiled: VisualLayout) -> None:
    cells = cells_of(tiled, (0, 0, 30, 15))
    assert set(tiled.tile[cells].tolist()) == {0, 1}
    right = cells_of(tiled, (30, 15, 60, 30))
    assert set(tiled.tile[right].tolist()) == {0, 2}
    assert shape_of(tiled, cells) == shape_of(tiled, right)
    assert shape_of(tiled, cells) != shape_of(tiled, cells_of(tiled, (0, 0, 15, 30)))


@pytest.mark.parametrize("region", [["left"], [(1,)], [(1, 2, 3, 4)], [3]])
def test_what_is_no_region_is_refused(layout: VisualLayout, region: object) -> None:
    with pytest.raises(ConfigurationError, match="is no cell: give cells as"):
        cells_of(layout, region)  # type: ignore[arg-type]


SIZES = ((40, 30), (30, 40), (28, 28))


def layouts() -> list[VisualLayout]:
    vlms = [tiny_vlm("llava"), tiled_vlm("spatial_unpad"), tiled_vlm("flat")]
    return [vlm.prepare(Image.new("RGB", size)).layout for vlm in vlms for size in SIZES]


LAYOUTS = layouts()
shares = st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0])


@given(st.sampled_from(LAYOUTS), edges, edges, edges, edges, shares)
def test_a_box_and_its_pixels_are_the_same_patches(
    layout: VisualLayout, left: int, top: int, right: int, bottom: int, share: float
) -> None:
    width, height = layout.image_size
    left, right = sorted((min(left, width), min(right, width)))
    top, bottom = sorted((min(top, height), min(bottom, height)))
    if left == right or top == bottom:
        return
    # as a loop would tell, in whole thousandths of a pixel where the resize leaves fractions
    expected = []
    for position, (x0, y0, x1, y1) in zip(layout.positions, layout.boxes, strict=True):
        overlap = max(min(x1, right) - max(x0, left), 0) * max(min(y1, bottom) - max(y0, top), 0)
        if 0 < max(share - 1e-9, 1e-9) * (x1 - x0) * (y1 - y0) <= overlap:
            expected.append(position)
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    for region in (ll.Box(left, top, right, bottom, share), ll.Mask(mask, share)):
        if expected:
            assert region.positions(layout).tolist() == expected
        else:
            with pytest.raises(ll.ConfigurationError, match="covers no patch"):
                region.positions(layout)


def test_a_shape_with_a_hole_leaves_the_hole_out() -> None:
    layout = LAYOUTS[2]  # 4 x 4 patches of 7 pixels
    mask = np.ones((28, 28), dtype=bool)
    mask[7:21, 7:21] = False
    inner = {(row, col) for row in (1, 2) for col in (1, 2)}
    found = ll.Mask(mask).positions(layout)
    cells = {
        (row, col)
        for position, row, col in zip(layout.positions, layout.row, layout.col, strict=True)
        if position in found
    }
    assert cells == {(row, col) for row in range(4) for col in range(4)} - inner


def test_shares() -> None:
    layout = LAYOUTS[2]
    assert len(ll.Box(0, 0, 8, 7, share=0).positions(layout)) == 2
    assert len(ll.Box(0, 0, 8, 7, share=1 / 7).positions(layout)) == 2
    assert len(ll.Box(0, 0, 8, 7, share=1 / 7 + 0.01).positions(layout)) == 1
    assert len(ll.Box(0, 0, 7, 7, share=0).positions(layout)) == 1  # to the edge, and not beyond
    assert len(ll.Box(0, 0, 7, 7, share=1).positions(layout)) == 1
    assert ll.Box(0, 0, 8, 7) == ll.Box(0, 0, 8, 7, share=0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ll.Box(5, 5, 5, 9), "is empty; a box is"),
        (lambda: ll.Box(0, 0, 5, 9, share=2), "share=2 is not a share"),
        (lambda: ll.Mask(np.ones((3, 3))), "bool .height, width., not float64"),
        (lambda: ll.Mask(np.ones(3, dtype=bool)), "bool .height, width."),
    ],
)
def test_regions_that_are_none(make: object, message: str) -> None:
    with pytest.raises(ll.ConfigurationError, match=message):
        make()  # type: ignore[operator]


def test_a_mask_of_another_picture_is_refused() -> None:
    vlm = tiny_vlm("llava")
    with (
        ll.knock_out(vlm, ("all", ll.Mask(np.ones((28, 28), dtype=bool)))),
        pytest.raises(ll.ConfigurationError, match=r"is 28 x 28 .*but the image is 40 x 30"),
    ):
        vlm.run(tiny_image(width=40, height=30))
