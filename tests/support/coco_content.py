"""A small COCO-style file, and run lengths as COCO writes them."""

from __future__ import annotations

from typing import Any

import numpy as np

WIDTH, HEIGHT = 40, 30


def runs(mask: np.ndarray) -> list[int]:
    """Run lengths down the columns, zeros first."""
    found, value = [0], False
    for pixel in mask.T.ravel():
        if pixel != value:
            found.append(0)
            value = bool(pixel)
        found[-1] += 1
    return found


def compressed(counts: list[int]) -> str:
    """As `rleToString` of COCO's C code writes it."""
    text = ""
    for i, count in enumerate(counts):
        x = count - counts[i - 2] if i > 2 else count
        more = True
        while more:
            bits = x & 0x1F
            x >>= 5
            more = x != -1 if bits & 0x10 else x != 0
            text += chr((bits | 0x20 if more else bits) + 48)
    return text


def disk(x: float, y: float, radius: float) -> np.ndarray:
    rows, cols = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    return (cols - x) ** 2 + (rows - y) ** 2 < radius**2


def content() -> dict[str, Any]:
    mask = disk(25, 15, 8)
    return {
        "images": [
            {"id": 1, "file_name": "one.png", "width": WIDTH, "height": HEIGHT},
            {"id": 2, "file_name": "two.png", "width": WIDTH, "height": HEIGHT},
            {"id": 3, "file_name": "nothing.png", "width": WIDTH, "height": HEIGHT},
        ],
        "categories": [{"id": 1, "name": "dog"}, {"id": 7, "name": "traffic light"}],
        "annotations": [
            {
                "id": 10,
                "image_id": 1,
                "category_id": 1,
                "segmentation": [[2, 3, 12, 3, 12, 20, 2, 20], [30, 0, 35, 0, 35, 5, 30, 5]],
                "attributes": {"color": " Blue", "occluded": False},
            },
            {
                "id": 11,
                "image_id": 1,
                "category_id": 7,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": compressed(runs(mask))},
            },
            {
                "id": 12,
                "image_id": 1,
                "category_id": 1,
                "iscrowd": 1,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": runs(disk(5, 25, 4))},
            },
            {"id": 13, "image_id": 2, "category_id": 7, "bbox": [1, 2, 10, 5]},
        ],
    }
