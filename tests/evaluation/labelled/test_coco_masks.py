"""Segmentations as masks, malformed ones, and none that takes long or much memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from coco_content import HEIGHT, WIDTH, compressed, disk, runs

from llavit_lens.evaluation.labelled import coco_masks
from llavit_lens.evaluation.labelled.coco_masks import box_of, shape_of

SIZE, NAN = [HEIGHT, WIDTH], float("nan")
PYCOCOTOOLS = "Z`06f04M2N2O0O2O0000000001N101N2N3LX6"
SQUARE = [2, 3, 12, 3, 12, 20, 2, 20]


def test_polygons_hold_the_pixels_whose_centers_they_hold() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        corners = rng.uniform(-3, 33, (7, 2))
        angle = np.arctan2(*(corners - corners.mean(0)).T)
        corners = corners[np.argsort(angle)]
        found = shape_of({"segmentation": [corners.ravel().tolist()]}, HEIGHT, WIDTH).mask
        for row in range(HEIGHT):
            for col in range(WIDTH):
                inside, x, y = False, col + 0.5, row + 0.5
                for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, 0), strict=True):
                    if (y0 > y) != (y1 > y) and x > x0 + (y - y0) / (y1 - y0) * (x1 - x0):
                        inside = not inside
                assert found[row, col] == inside


def test_run_lengths_survive_compression() -> None:
    rng = np.random.default_rng(0)
    for share in (0.01, 0.5, 0.99):
        for size in ((1, 1), (3, 200), (HEIGHT, WIDTH)):
            mask = rng.random(size) < share
            for counts in (runs(mask), compressed(runs(mask))):
                annotation = {"segmentation": {"size": list(size), "counts": counts}}
                if mask.any():
                    assert (shape_of(annotation, *size).mask == mask).all()


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("annotation", "expected"),
    [
        # off the picture is cut off
        ({"bbox": [-5, -5, 10, 10]}, box(0, 0, 5, 5)),
        ({"bbox": [30, 20, 1e6, 1e6]}, box(30, 20, WIDTH, HEIGHT)),
        ({"segmentation": [[-1e6, -1e6, 5, -1e6, 5, 7, -1e6, 7]]}, box(0, 0, 5, 7)),
        # numbers as texts
        ({"bbox": ["1", "2.0", "10", " 5 "]}, box(1, 2, 11, 7)),
        # no segmentation, in all the ways to say so
        *(
            ({"segmentation": none, "bbox": [1, 2, 10, 5]}, box(1, 2, 11, 7))
            for none in ([], [[]], {}, None, "")
        ),
        # a rectangle by two corners, which is no polygon (labelme2coco, FastLabel)
        ({"segmentation": [[1, 2, 11, 7]], "bbox": [1, 2, 10, 5]}, box(1, 2, 11, 7)),
        # the one polygon without a list around it (VIA, MyVision, supervision)
        ({"segmentation": SQUARE, "bbox": [0, 0, 1, 1]}, box(2, 3, 12, 20)),
        ({"segmentation": [float(x) for x in SQUARE]}, box(2, 3, 12, 20)),
        ({"segmentation": [list(map(str, SQUARE))]}, box(2, 3, 12, 20)),
        # run lengths as numbers that JSON writes as floats
        (
            {"segmentation": {"size": [30.0, 40.0], "counts": [float(n) for n in [0, 60, 1140]]}},
            box(0, 0, 2, HEIGHT),
        ),
    ],
)
def test_what_tools_write(annotation: dict[str, Any], expected: np.ndarray) -> None:
    shape = shape_of(annotation, HEIGHT, WIDTH)
    assert (shape.mask == expected).all() and shape.left_out == 0


@pytest.mark.parametrize(
    "bad", [[], [1, 2], [1, 2, 3, 4], [1, 2, 3], [NAN] * 6, ["a"] * 6, None, 5, "abc", {"a": 1}]
)
def test_a_malformed_polygon_beside_a_good_one_is_left_out_alone(bad: Any) -> None:
    for polygons in ([SQUARE, bad], [SQUARE, bad, bad, SQUARE]):
        shape = shape_of({"segmentation": polygons}, HEIGHT, WIDTH)
        assert (shape.mask == box(2, 3, 12, 20)).all()
        assert shape.left_out == len(polygons) - polygons.count(SQUARE)


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({}, "neither a segmentation nor a bbox"),
        ({"segmentation": [], "bbox": None}, "neither a segmentation nor a bbox"),
        ({"segmentation": [], "area": 0, "bbox": [0, 0, 0, 0]}, "no area"),
        ({"bbox": [1, 2, -3, 4]}, "no area"),
        ({"bbox": [1, 2, 3]}, "four numbers"),
        ({"bbox": "[1, 2, 3, 4]"}, "four numbers"),
        ({"bbox": {"x": 1}}, "four numbers"),
        ({"bbox": [1, 2, 3, True]}, "four numbers"),
        ({"bbox": [1, 2, 3, "four"]}, "four numbers"),
        ({"bbox": [1, 2, float("inf"), 5]}, "four numbers"),
        ({"bbox": [NAN, 2, 10, 5]}, "four numbers"),
        ({"bbox": [1, 2, 3, 10**400]}, "four numbers"),
        ({"bbox": [1, 2, 3, "1" * 400]}, "four numbers"),
        ({"bbox": [-50, -50, 10, 10]}, "no pixel"),
        ({"bbox": [40, 0, 10, 10]}, "no pixel"),
        ({"bbox": [1.6, 1.6, 0.1, 0.1]}, "no pixel"),
        ({"bbox": [0.25, 0.5, 0.5, 0.25]}, "shares of the image, not pixels"),
        ({"bbox": [0, 0, 1, 1]}, "shares of the image, not pixels"),
        ({"segmentation": [], "bbox": ["0.1", "0.1", "1", "1"]}, "shares of the image"),
        ({"segmentation": [[0.1, 0.2, 0.9, 0.2, 0.9, 1.0]]}, "shares of the image"),
        (
            {"segmentation": [[0, 0, 1, 0, 1, 1], [0, 0, 0.5, 0, 0.5, 1]], "bbox": [1, 2, 10, 5]},
            "shares of the image",
        ),
        ({"segmentation": [[50, 50, 60, 50, 60, 60]]}, "no pixel"),
        ({"segmentation": [[5, 5, 9, 5, 15, 5]]}, "no pixel"),
        ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]], "bbox": [1, 2, 3, 4]}, "three corners"),
        ({"segmentation": [[2, 3, NAN, 3, 12, 20]], "bbox": [1, 2, 3, 4]}, "three corners"),
        ({"segmentation": [[2, 3, 9, 3, 12, 1e12]]}, "three corners"),
        ({"segmentation": [[2, 3, 9, 3, 12, None]]}, "three corners"),
        ({"segmentation": [{"size": SIZE, "counts": [1200]}]}, "three corners"),
        ({"segmentation": "abc", "bbox": [1, 2, 3, 4]}, "list of polygons"),
        ({"segmentation": 5}, "list of polygons"),
        ({"segmentation": {"size": [9, 9], "counts": [81]}}, "another size"),
        ({"segmentation": {"size": [WIDTH, HEIGHT], "counts": [0, 1200]}}, "another size"),
        ({"segmentation": {"size": None, "counts": [0, 1200]}}, "another size"),
        ({"segmentation": {"counts": [0, 1200]}}, "another size"),
        ({"segmentation": {"size": SIZE}}, "whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": None}}, "whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": [-1, 1201]}}, "whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": [0.5, 1199.5]}}, "whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": [NAN, 1200]}}, "whole numbers"),
        ({"segmentation": {"size": SIZE, "counts": [5, 7]}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": [0, 1201]}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": []}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": ""}}, "add up"),
        ({"segmentation": {"size": SIZE, "counts": [1200]}}, "no pixel"),
        ({"segmentation": {"size": SIZE, "counts": "Po"}}, "cut off"),
        ({"segmentation": {"size": SIZE, "counts": "o" * 1_000_000}}, "no lengths"),
        ({"segmentation": {"size": SIZE, "counts": "a\u00e9"}}, "letters"),
        ({"segmentation": {"size": SIZE, "counts": "b'PP1'"}}, "letters"),
    ],
)
def test_malformed_ones_say_why(annotation: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        shape_of(annotation, HEIGHT, WIDTH)


def test_run_lengths_of_pycocotools() -> None:
    """As `pycocotools.mask.encode` of 2.0.11 compressed this disk."""
    shape = shape_of({"segmentation": {"size": SIZE, "counts": PYCOCOTOOLS}}, HEIGHT, WIDTH)
    assert (shape.mask == disk(25, 15, 8)).all() and compressed(runs(shape.mask)) == PYCOCOTOOLS


def test_edges_in_parts_make_the_same_polygon(monkeypatch: pytest.MonkeyPatch) -> None:
    corners = np.random.default_rng(0).uniform(-5, 45, 60).tolist()
    whole = shape_of({"segmentation": [corners]}, HEIGHT, WIDTH).mask
    monkeypatch.setattr(coco_masks, "_AT_ONCE", 4 * HEIGHT)
    assert (shape_of({"segmentation": [corners]}, HEIGHT, WIDTH).mask == whole).all()
    assert 0 < whole.sum() < whole.size


@pytest.mark.long
def test_large_ones_are_quick() -> None:
    rng = np.random.default_rng(0)
    zigzag = rng.uniform(0, 1000, 40_000).tolist()
    annotations = (
        {"segmentation": [zigzag]},
        {"segmentation": [[x, x, x + 5, x, x, x + 5] for x in range(990)] * 10},
        {"segmentation": {"size": [1000, 1000], "counts": [1] * 1_000_000}},
        {"segmentation": [[-9e8, -9e8, 9e8, -9e8, 9e8, 9e8]]},
    )
    for annotation in annotations:
        start = time.process_time()
        shape_of(annotation, 1000, 1000)
        assert time.process_time() - start < 5


def test_pixels_near_the_corner_are_no_shares() -> None:
    for annotation in (
        {"bbox": [0, 0, 2, 1]},
        {"segmentation": [[0, 0, 1, 0, 1, 1, 0, 1], SQUARE]},
        {"segmentation": [SQUARE], "bbox": [0, 0, 1, 1]},
    ):
        assert shape_of(annotation, HEIGHT, WIDTH).mask.any()
    assert shape_of({"bbox": [0, 0, 1, 1]}, 1, 1).mask.all()
    assert shape_of({"bbox": [0, 0, 1, 1]}, 4, 3).mask.sum() == 1


@pytest.mark.parametrize("at", [(-5, 0), (0, -5), (5, 0), (0, 5), (0, 0), (0.9, 0.9), (-0.9, 0)])
def test_what_reaches_beyond_the_picture_is_said(at: tuple[float, float]) -> None:
    x, y = at
    polygon = [x, y, x + WIDTH, y, x + WIDTH, y + HEIGHT, x, y + HEIGHT]
    for annotation in ({"bbox": [x, y, WIDTH, HEIGHT]}, {"segmentation": [polygon]}):
        assert shape_of(annotation, HEIGHT, WIDTH).is_cut == (max(abs(x), abs(y)) > 1)


def test_a_box_is_there_beside_any_segmentation() -> None:
    annotation = {"segmentation": [[1, 2]], "bbox": [1, 2, 10, 5]}
    assert (box_of(annotation, HEIGHT, WIDTH) == box(1, 2, 11, 7)).all()
