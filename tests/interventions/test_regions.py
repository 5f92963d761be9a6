"""Which patches show a region of the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny import tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm

import llavit_lens as ll
from llavit_lens.vlm.layout import VisualLayout

SIZES = ((40, 30), (30, 40), (28, 28))


def layouts() -> list[VisualLayout]:
    vlms = [tiny_vlm("llava"), tiled_vlm("spatial_unpad"), tiled_vlm("flat")]
    return [vlm.prepare(Image.new("RGB", size)).layout for vlm in vlms for size in SIZES]


LAYOUTS = layouts()
edges = st.integers(0, 40)
shares = st.sampled_from([0.0, 0.25, 0.5, 0.9])


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
        if overlap > max(share, 1e-9) * (x1 - x0) * (y1 - y0):
            expected.append(position)
    mask = np.zeros((height, width), dtype=bool)
    mask[top:bottom, left:right] = True
    for region in (ll.Box(left, top, right, bottom, share), ll.Pixels(mask, share)):
        if expected:
            assert region.positions(layout).tolist() == expected
        else:
            with pytest.raises(ll.ConfigurationError, match="no patch lies in"):
                region.positions(layout)


def test_a_shape_with_a_hole_leaves_the_hole_out() -> None:
    layout = LAYOUTS[2]  # 4 x 4 patches of 7 pixels
    mask = np.ones((28, 28), dtype=bool)
    mask[7:21, 7:21] = False
    inner = {(row, col) for row in (1, 2) for col in (1, 2)}
    found = ll.Pixels(mask).positions(layout)
    cells = {
        (row, col)
        for position, row, col in zip(layout.positions, layout.row, layout.col, strict=True)
        if position in found
    }
    assert cells == {(row, col) for row in range(4) for col in range(4)} - inner


def test_shares() -> None:
    layout = LAYOUTS[2]
    assert len(ll.Box(0, 0, 8, 7).positions(layout)) == 2
    assert len(ll.Box(0, 0, 8, 7, share=1 / 7 + 0.01).positions(layout)) == 1
    assert len(ll.Box(0, 0, 7, 7).positions(layout)) == 1  # to the edge, and not beyond


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ll.Box(5, 5, 5, 9), "is empty; a box is"),
        (lambda: ll.Box(0, 0, 5, 9, share=1), "share=1 is not a share"),
        (lambda: ll.Pixels(np.ones((3, 3))), "bool .height, width., not float64"),
        (lambda: ll.Pixels(np.ones(3, dtype=bool)), "bool .height, width."),
    ],
)
def test_regions_that_are_none(make: object, message: str) -> None:
    with pytest.raises(ll.ConfigurationError, match=message):
        make()  # type: ignore[operator]


def test_a_mask_of_another_picture_is_refused() -> None:
    vlm = tiny_vlm("llava")
    with (
        ll.knock_out(vlm, ("all", ll.Pixels(np.ones((28, 28), dtype=bool)))),
        pytest.raises(ll.ConfigurationError, match=r"is 28 x 28 .*but the picture is 40 x 30"),
    ):
        vlm.run(tiny_image(width=40, height=30))
