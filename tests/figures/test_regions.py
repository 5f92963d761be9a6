"""Regions of patches: what touches, their outlines, and where a label has room."""

from __future__ import annotations

import numpy as np
import pytest

from llavit_lens.figures.regions import regions_of


def boxes(rows: int, cols: int, side: float = 10.0) -> np.ndarray:
    row, col = (axis.ravel() for axis in np.indices((rows, cols)))
    return np.stack([col, row, col + 1, row + 1], 1) * side


def test_patches_touch_by_a_side_and_not_by_a_corner() -> None:
    regions = regions_of(boxes(2, 3), list("aabbba"))
    assert [region.cells for region in regions] == [[0, 1], [2], [3, 4], [5]]


def test_patches_of_two_tiles_touch() -> None:
    tiles = np.concatenate([boxes(1, 2, 7.0), boxes(1, 2, 7.0) + np.array([14.001, 0, 14.001, 0])])
    (region,) = regions_of(tiles, list("aaaa"))
    assert region.room == pytest.approx((0, 0, 28, 7), abs=0.01)


def test_the_outline_goes_around_and_not_through() -> None:
    (region,) = regions_of(boxes(2, 2), list("aaaa"))
    assert len(region.edges()) == 8
    assert not any(edge == ((10, 0), (10, 10)) for edge in region.edges())
    length = sum(abs(bx - ax) + abs(by - ay) for (ax, ay), (bx, by) in region.inner_edges(1.0))
    assert length == 4 * 18  # a square of 20 pixels, 1 pixel smaller on each side


def test_an_inner_outline_is_closed_at_corners_that_point_inwards() -> None:
    corner = next(r for r in regions_of(boxes(2, 2), list("aaab")) if len(r.cells) == 3)
    ends = [point for edge in corner.inner_edges(1.0) for point in edge]
    assert all(ends.count(point) == 2 for point in ends)


def test_a_label_has_the_widest_row_and_the_rows_as_wide() -> None:
    says = list("abbb" + "abbb" + "aaaa")
    tall, wide = regions_of(boxes(3, 4), says)
    assert wide.room == (10, 0, 40, 20)
    assert tall.room == (0, 20, 40, 30)
