"""Patches that say the same and touch: regions of the image, their edges, and room for a label."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np

Box = tuple[float, float, float, float]
"""(left, top, right, bottom) in pixels of the image."""

Segment = tuple[tuple[float, float], tuple[float, float]]

_STEPS = 4  # of a pixel: edges that are nearer are one edge


class Region:
    """Connected patches, by their side and not by a corner.

    Attributes:
        cells: which of the patches given to `regions_of`.
        boxes: float64 [m, 4], theirs.
        room: the widest rectangle of patches of the region in one row, with the rows above and
            below that are as wide: where a label has most room.
    """

    def __init__(self, cells: list[int], boxes: np.ndarray) -> None:
        self.cells = cells
        self.boxes = boxes
        self._grid = _Grid(boxes)
        self.room = self._room()

    def edges(self) -> list[Segment]:
        """The outline, a segment for each side of a patch that has no neighbor here."""
        return self.inner_edges(0.0)

    def inner_edges(self, inset: float) -> list[Segment]:
        """The outline, moved inwards by `inset` pixels, so that two regions' do not meet."""
        segments: list[Segment] = []
        for i, (x0, y0, x1, y1) in enumerate(self.boxes.tolist()):
            near = self._grid.neighbors(i)
            for side, (start, end), (ax, ay), (bx, by) in (
                ("up", ("left", "right"), (x0, y0), (x1, y0)),
                ("down", ("left", "right"), (x0, y1), (x1, y1)),
                ("left", ("up", "down"), (x0, y0), (x0, y1)),
                ("right", ("up", "down"), (x1, y0), (x1, y1)),
            ):
                if side in near:
                    continue
                first, last = (self._end(i, side, at) * inset for at in (start, end))
                if side in ("up", "down"):
                    y = ay + (inset if side == "up" else -inset)
                    segments.append(((ax + first, y), (bx - last, y)))
                else:
                    x = ax + (inset if side == "left" else -inset)
                    segments.append(((x, ay + first), (x, by - last)))
        return segments

    def _end(self, cell: int, side: str, at: str) -> int:
        """How many insets a side is shorter at an end: 1 at a corner that points outwards, -1 at
        one that points inwards."""
        beside = self._grid.neighbors(cell).get(at)
        if beside is None:
            return 1
        return -1 if side in self._grid.neighbors(beside) else 0

    def _room(self) -> Box:
        runs = self._grid.runs()
        center = self.boxes.reshape(-1, 2, 2).mean((0, 1))

        def rank(run: list[int]) -> tuple[float, float]:
            left, top, right, bottom = _around(self.boxes[run])
            middle = np.array([(left + right) / 2, (top + bottom) / 2])
            return round(right - left, 2), -float(np.hypot(*(middle - center)))

        best = max(runs, key=rank)
        return _around(self.boxes[best + self._grid.rows_as_wide(best)])


class _Grid:
    """Which patches touch, by their boxes: patches of several tiles touch too."""

    def __init__(self, boxes: np.ndarray) -> None:
        steps = np.rint(boxes * _STEPS).astype(int).tolist()
        at = {(x0, y0): i for i, (x0, y0, _, _) in enumerate(steps)}
        self._near: list[dict[str, int]] = [{} for _ in steps]
        for i, (x0, y0, x1, y1) in enumerate(steps):
            for there, back, corner in (("right", "left", (x1, y0)), ("down", "up", (x0, y1))):
                if (other := at.get(corner)) is not None and other != i:
                    self._near[i][there] = other
                    self._near[other][back] = i

    def neighbors(self, cell: int) -> dict[str, int]:
        return self._near[cell]

    def runs(self) -> list[list[int]]:
        """Patches in one row, side by side, from left to right: the longest such rows."""
        runs = []
        for start, near in enumerate(self._near):
            if "left" not in near:
                run = [start]
                while (following := self._near[run[-1]].get("right")) is not None:
                    run.append(following)
                runs.append(run)
        return runs

    def rows_as_wide(self, run: list[int]) -> list[int]:
        """The patches above and below a run, as far as all of it has patches there."""
        more: list[int] = []
        for side in ("up", "down"):
            row = run
            while all(side in self._near[i] for i in row):
                row = [self._near[i][side] for i in row]
                more += row
        return more


def regions_of(boxes: np.ndarray, says: Sequence[Hashable]) -> list[Region]:
    """The regions of patches that touch and say the same, in the order of their first patch.

    Args:
        boxes: float64 [n, 4], the patches.
        says: for each what must be equal.
    """
    grid = _Grid(boxes)
    seen = np.zeros(len(boxes), bool)
    regions = []
    for start in range(len(boxes)):
        if seen[start]:
            continue
        cells, seen[start] = [start], True
        for cell in cells:  # grows while it is walked
            for other in grid.neighbors(cell).values():
                if not seen[other] and says[other] == says[start]:
                    seen[other] = True
                    cells.append(other)
        cells.sort()
        regions.append(Region(cells, boxes[cells]))
    return regions


def _around(boxes: np.ndarray) -> Box:
    (left, top), (right, bottom) = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    return float(left), float(top), float(right), float(bottom)
