"""Confidence intervals of shares and means, by drawing images again (bootstrap).

Patches and questions of one image are alike, so images are drawn, not patches.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DRAWS = 2000


class Estimate(NamedTuple):
    """A share or mean with its 95 % interval; NaN where nothing was counted."""

    value: float
    low: float
    high: float


class Bootstrap:
    """Draws of `images` images, with replacement: the same for everything that is estimated, so
    that differences between conditions are paired."""

    def __init__(self, images: int, seed: int = 0) -> None:
        generator = np.random.default_rng(seed)
        share = np.full(images, 1 / images)
        self._times = generator.multinomial(images, share, size=DRAWS).astype(np.float64)

    def share(self, right: np.ndarray, asked: np.ndarray) -> Estimate:
        """Share of right answers; `right` and `asked` are counts of each image.

        Where all or nothing was right, no draw differs; the interval is then Clopper and Pearson's
        for as many independent trials as there are images.
        """
        value, draws = self._shares(right, asked)
        if value in (0.0, 1.0):
            reach = 1 - 0.025 ** (1 / np.count_nonzero(asked))
            return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))
        return _estimate(value, draws)

    def mean(self, sums: np.ndarray, counts: np.ndarray) -> Estimate:
        """Mean of a measure that is no share: its sum over each image, and the number of values."""
        return _estimate(*self._shares(sums, counts))

    def change(
        self, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]
    ) -> Estimate:
        """Share after minus share before; each is (right, asked) as in `share`."""
        (old, old_draws), (new, new_draws) = self._shares(*before), self._shares(*after)
        return _estimate(new - old, new_draws - old_draws)

    def ratio(
        self, over: tuple[np.ndarray, np.ndarray], under: tuple[np.ndarray, np.ndarray]
    ) -> Estimate:
        """One share divided by another, each (right, asked) as in `share`.

        NaN where the lower share is 0, as the ratio is only known to be large. Where all or
        nothing was right above, the interval is at least as wide as that of `share`.
        """
        (top, top_draws), (bottom, bottom_draws) = self._shares(*over), self._shares(*under)
        if not bottom > 0:
            return Estimate(np.nan, np.nan, np.nan)
        with np.errstate(invalid="ignore", divide="ignore"):
            draws = top_draws / bottom_draws
        draws = draws[~np.isnan(draws)]
        # draws, not points between them: a draw whose lower share is 0 is infinite
        low, high = np.quantile(draws, [0.025, 0.975], method="inverted_cdf")
        if top in (0.0, 1.0):
            reach = self.share(*over)
            low, high = min(low, reach.low / bottom), max(high, reach.high / bottom)
        return Estimate(top / bottom, float(low), float(high))

    def runs(self, right: np.ndarray, asked: np.ndarray) -> Estimate:
        """Mean share over trained runs; both are [runs, images].

        The interval is the wider of two: that of drawing images again, and Student's t over the
        runs, as few runs say little about another seed. Of one run it is that of its images alone.

        Quantiles of t are kept for up to 9 degrees of freedom; more runs get that of 9, which is a
        little wide.
        """
        shares, draws = self._of_runs(right, asked)
        return _over_runs(shares, draws)

    def change_of_runs(
        self, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray]
    ) -> Estimate:
        """Mean share after minus before; run i of one is of the same seed as run i of the other."""
        (old, old_draws), (new, new_draws) = self._of_runs(*before), self._of_runs(*after)
        return _over_runs(new - old, new_draws - old_draws)

    def _of_runs(self, right: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Shares of runs, [runs], and their draws, [runs, DRAWS]."""
        shares = [self._shares(r, a) for r, a in zip(right, asked, strict=True)]
        return np.array([value for value, _ in shares]), np.stack([draws for _, draws in shares])

    def _shares(self, right: np.ndarray, asked: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(invalid="ignore"):  # without questions: NaN
            draws = self._times @ right / (self._times @ asked)
            return float(np.sum(right) / np.sum(asked)), draws


# 97.5 % quantile of Student's t, by degrees of freedom
_T = (np.nan, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


def _over_runs(values: np.ndarray, draws: np.ndarray) -> Estimate:
    """Of the mean of `values` [runs], with their `draws` [runs, DRAWS]."""
    estimate = _estimate(float(values.mean()), draws.mean(0))
    if len(values) == 1:
        return estimate
    t = _T[min(len(values), len(_T)) - 1]
    reach = t * float(values.std(ddof=1)) / len(values) ** 0.5
    low, high = (
        min(estimate.low, estimate.value - reach),
        max(estimate.high, estimate.value + reach),
    )
    return Estimate(estimate.value, low, high)


def _estimate(value: float, draws: np.ndarray) -> Estimate:
    numbers = draws[~np.isnan(draws)]
    if not len(numbers):
        return Estimate(value, np.nan, np.nan)
    low, high = np.quantile(numbers, [0.025, 0.975])
    return Estimate(value, float(low), float(high))
