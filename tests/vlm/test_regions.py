"""Regions of a picture hold the patches that lie in them by half or more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny import PROMPT, tiny_image
from tiny_vlm import tiled_vlm, tiny_vlm

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.layout import VisualLayout
from llavit_lens.vlm.regions import cells_of, is_box, shape_of


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
            with pytest.raises(ConfigurationError, match="holds no patch"):
                cells_of(layout, region)
        elif sure:
            found = cells_of(layout, region).tolist()
            assert set(sure) <= set(found) <= set(maybe) and found == sorted(found)


def test_half_a_patch_is_in_and_less_is_not(layout: VisualLayout) -> None:
    left, top, right, bottom = layout.boxes[5]
    middle = (left + right) / 2
    assert cells_of(layout, (left, top, middle, bottom)).tolist() == [5]
    with pytest.raises(ConfigurationError, match="holds no patch"):
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
                with pytest.raises(ConfigurationError, match="holds no patch"):
                    cells_of(layout, region)


def test_cells_keep_their_order(layout: VisualLayout) -> None:
    assert cells_of(layout, [(3, 3), (0, 1), (-1, 0)]).tolist() == [15, 1, 12]
    assert cells_of(layout, [(0, 0), (0, 1), (0, 2), (0, 3)]).tolist() == [0, 1, 2, 3]


class Corner:
    """A region that knows its tokens."""

    left = top = 0

    def positions(self, layout: VisualLayout) -> np.ndarray:
        return layout.positions[[4, 0, 1]]


def test_a_region_may_know_its_tokens(layout: VisualLayout) -> None:
    assert cells_of(layout, Corner()).tolist() == [0, 1, 4]
    assert is_box(Corner()) and is_box((0, 0, 3, 4.5))
    assert not is_box([(0, 0)] * 4) and not is_box(np.zeros((4, 4), dtype=bool))


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
