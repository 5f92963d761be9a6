"""A patch that was found, in its image: the right part, wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest
from made_hits import GONE, color_of, made_hits, opener_of, painted
from PIL import Image

from llavit_lens.figures.hit_images import PADDING, Box, HitImage, hit_images


def marked(image: Image.Image, box: Box) -> np.ndarray:
    """The pixels in the middle of a part of an image, [3]."""
    x, y = (box.left + box.right) / 2 * image.width, (box.top + box.bottom) / 2 * image.height
    return np.asarray(image)[int(y), int(x)]


def looked(places: list[tuple[int, int, int]], grid: int, patch: int) -> list[HitImage]:
    images = {n: painted(grid, patch, n) for n in (0, 1)}
    return hit_images(made_hits(places, grid, patch).table, opener_of(images))


@pytest.mark.parametrize(("grid", "patch"), [(8, 14), (24, 14), (24, 28), (4, 3)])
def test_the_patch_is_marked_in_the_whole_and_near(grid: int, patch: int) -> None:
    last = grid - 1
    places = [(0, 0, 0), (1, last, last), (0, 0, last), (1, 2, 1), (0, last, 0)]
    for (image, row, col), seen in zip(places, looked(places, grid, patch), strict=True):
        assert seen.whole is not None and seen.near is not None and seen.box and seen.near_box
        for picture, box in ((seen.whole, seen.box), (seen.near, seen.near_box)):
            error = np.abs(marked(picture, box).astype(int) - color_of(row, col, image))
            assert error.max() <= 4  # half the step between two patches
        width = seen.near_box.right - seen.near_box.left
        assert width == pytest.approx(min(1 / 3, 4 / grid), rel=0.01)
        assert seen.box == pytest.approx(
            (col / grid, row / grid, (col + 1) / grid, (row + 1) / grid)
        )
        assert max(seen.near.size) == 240 and not seen.fault


def test_an_image_is_opened_once_and_only_small_copies_are_kept() -> None:
    opener = opener_of({0: painted(8, 200), 1: painted(8, 14, 1)})
    hits = made_hits([(0, 0, 0), (1, 1, 1), (0, 2, 2), (1, 0, 1)], patch=200)
    table = hits.table
    table.loc[table["image"] == 1, ["x0", "y0", "x1", "y1"]] /= 200 / 14
    first, second, third, _ = hit_images(table, opener, largest=100, near=50)
    assert sorted(opener.opened) == [0, 1]
    assert first.whole is third.whole and first.whole.size == (100, 100)
    assert second.near is not None and max(second.near.size) == 50


def test_a_long_image_keeps_its_shape() -> None:
    hits = made_hits([(0, 0, 0)], x0=280, y0=0, x1=294, y1=14)
    (seen,) = hit_images(hits.table, opener_of({0: Image.new("RGB", (300, 20))}))
    assert seen.whole.size == (300, 20)
    assert seen.near.width == pytest.approx(240) and seen.near.height == pytest.approx(
        240 * 20 / 42, 1
    )
    assert seen.near_box == pytest.approx((22 / 42, 0, 36 / 42, 0.7))


@pytest.mark.parametrize("edges", [(5, 5, 5, 9), (np.nan, 0, 4, 4), (0, 9, 5, 3)])
def test_a_patch_that_lies_nowhere_has_no_mark(edges: tuple[float, ...]) -> None:
    hits = made_hits([(0, 0, 0)], **dict(zip(("x0", "y0", "x1", "y1"), edges, strict=True)))
    (seen,) = hit_images(hits.table, opener_of({0: painted(8, 14)}))
    assert seen.whole is not None and seen.near is None and seen.box is None
    assert seen.fault == PADDING


def test_an_image_that_is_gone_is_no_error() -> None:
    gone, there = hit_images(
        made_hits([(5, 0, 0), (0, 0, 0)]).table, opener_of({0: painted(8, 14)})
    )
    assert gone.whole is None and gone.fault == GONE
    assert there.whole is not None
