"""Regions of a picture, in pixels of the original, and the visual tokens that show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from llavit_lens.errors import ConfigurationError
from llavit_lens.vlm.layout import VisualLayout

_ROUNDING = 1e-9
"""A smaller share of a patch is rounding of its edges, not overlap."""


@dataclass(frozen=True)
class Box:
    """A rectangle: the patches of which more than `share` lies in it.

    Attributes:
        left, top, right, bottom: edges in pixels of the original picture.
        share: of a patch's own area on the picture, 0 to 1; with 0, every patch that it touches.
    """

    left: float
    top: float
    right: float
    bottom: float
    share: float = 0.0

    def __post_init__(self) -> None:
        _check_share(self.share)
        if not (self.left < self.right and self.top < self.bottom):
            raise ConfigurationError(f"{self} is empty; a box is (left, top, right, bottom).")

    def positions(self, layout: VisualLayout) -> np.ndarray:
        """int64, places in the token sequence, in every tile of the picture.

        Raises:
            ConfigurationError: no patch shows the region.
        """
        left, top, right, bottom = layout.boxes.T
        across = np.minimum(right, self.right) - np.maximum(left, self.left)
        down = np.minimum(bottom, self.bottom) - np.maximum(top, self.top)
        return _more_than(layout, across.clip(0) * down.clip(0), self.share, self)


@dataclass(frozen=True, eq=False)
class Pixels:
    """Any shape: the patches of which more than `share` are pixels where `mask` is True.

    Attributes:
        mask: bool [height, width] of the original picture.
        share: as in `Box`.
    """

    mask: np.ndarray
    share: float = 0.0

    def __post_init__(self) -> None:
        _check_share(self.share)
        mask = np.asarray(self.mask)
        if mask.ndim != 2 or mask.dtype != np.bool_:
            raise ConfigurationError(
                f"a mask of pixels is bool [height, width], not {mask.dtype} {list(mask.shape)}."
            )
        object.__setattr__(self, "mask", mask)

    def __repr__(self) -> str:
        return f"Pixels(mask of {int(self.mask.sum())} pixels, share={self.share})"

    def positions(self, layout: VisualLayout) -> np.ndarray:
        """As `Box.positions`; a pixel that a patch covers in part counts in part.

        Raises:
            ConfigurationError: no patch shows the region; the mask is not as large as the picture.
        """
        height, width = self.mask.shape
        if (width, height) != tuple(layout.image_size):
            raise ConfigurationError(
                f"the mask of pixels is {width} x {height} (width x height), but the picture is "
                f"{layout.image_size[0]} x {layout.image_size[1]}; give a mask of the original."
            )
        # area[y, x] of the mask above and left of a point, between whole pixels in proportion
        area = np.zeros((height + 1, width + 1))
        area[1:, 1:] = self.mask.cumsum(0, dtype=np.float64).cumsum(1)
        left, top, right, bottom = layout.boxes.T
        covered = (
            _between(area, bottom, right)
            - _between(area, top, right)
            - _between(area, bottom, left)
            + _between(area, top, left)
        )
        return _more_than(layout, covered, self.share, self)


Region = Box | Pixels


def _between(area: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    row = np.minimum(y.astype(np.int64), area.shape[0] - 2)
    col = np.minimum(x.astype(np.int64), area.shape[1] - 2)
    down, across = y - row, x - col
    upper = area[row, col] * (1 - across) + area[row, col + 1] * across
    lower = area[row + 1, col] * (1 - across) + area[row + 1, col + 1] * across
    return upper * (1 - down) + lower * down


def _more_than(layout: VisualLayout, covered: np.ndarray, share: float, region: Any) -> np.ndarray:
    left, top, right, bottom = layout.boxes.T
    whole = (right - left) * (bottom - top)
    found = layout.positions[covered > np.maximum(share * whole, _ROUNDING * whole)]
    if len(found) == 0:
        width, height = layout.image_size
        raise ConfigurationError(
            f"no patch lies in {region} by more than the share {share}; the picture is "
            f"{width} x {height} pixels, and a patch about {whole.max() ** 0.5:.0f} wide."
        )
    return found


def _check_share(share: float) -> None:
    if not 0 <= share < 1:
        raise ConfigurationError(f"share={share} is not a share of a patch, 0 to less than 1.")
