"""Confidence intervals that respect that slices of one patient are not independent."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
_NO_WIDTH = 1e-12
_DRAWS_AT_ONCE = 4_000_000  # 32 MB of int64


def resample_sums(statistics: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.int64]:
    """Totals of per-group counts in each of many resamples of whole groups, drawn with replacement.

    The cluster bootstrap: Efron B, Tibshirani RJ. An introduction to the bootstrap, 1993; Field CA, Welsh AH.
    Bootstrapping clustered data. J R Stat Soc B 2007;69:369-390. Groups are drawn, slices within them are not.

    Every metric asked for here depends on counts alone, so no slice is touched again: groups with equal counts are
    interchangeable, and one multinomial draw per resample says how often each kind occurs. The result does not depend
    on the order of the groups.

    Args:
        statistics: int64 (G, S), S counts of each of G groups.
        resamples: how many.
        seed: of NumPy's PCG64.

    Returns:
        int64 (resamples, S).
    """
    kinds, multiplicity = np.unique(statistics, axis=0, return_counts=True)
    groups = len(statistics)
    rng = np.random.default_rng(seed)
    totals = np.empty((resamples, statistics.shape[1]), dtype=np.int64)
    step = max(1, _DRAWS_AT_ONCE // len(kinds))
    for start in range(0, resamples, step):
        rows = slice(start, min(start + step, resamples))
        draws = rng.multinomial(groups, multiplicity / groups, size=rows.stop - start)
        # Through float64 (exact for counts below 2**53) because NumPy multiplies integer matrices without BLAS.
        totals[rows] = np.rint(draws.astype(np.float64) @ kinds.astype(np.float64))
    return totals


def interval(point: float | None, values: NDArray[np.float64], groups: int) -> list[float] | None:
    """The 95 % percentile interval of a share, widened where the bootstrap is blind.

    When no group holds an error (or none holds a success), every resample repeats the sample and the percentile
    interval has no width, as if a handful of perfect cases proved perfection. The exact binomial bound over groups
    takes its place: with 0 errors in G groups, the lower end is 0.025 ** (1 / G) (Clopper CJ, Pearson ES. Biometrika
    1934;26:404-413; the "rule of three" of Hanley JA, Lippman-Hand A. JAMA 1983;249:1743-1745).

    Args:
        point: the value on the sample itself; it always lies inside.
        values: float64 (resamples,); NaN where a resample does not define the value.
        groups: independent groups behind the value.

    Returns:
        [low, high], or None when the value is not defined or fewer than two groups are behind it.
    """
    values = values[np.isfinite(values)]
    if point is None or groups < 2 or values.size == 0:
        return None
    blind = blind_bound(groups)
    if point >= 1.0:
        return [blind, 1.0]
    if point <= 0.0:
        return [0.0, 1.0 - blind]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return [min(float(low), point), max(float(high), point)]


def mean_interval(point: float | None, values: NDArray[np.float64], groups: int, most: float) -> list[float] | None:
    """The same for a mean of numbers from 0 to ``most``.

    Where all resamples agree, units that the sample lacks may differ by as much as there is room for, and be as many as
    the exact binomial bound allows.
    """
    found = None if point is None else interval(point / most, values / most, groups)
    if point is None or found is None:
        return None
    low, high = (most * end for end in found)
    if high - low < _NO_WIDTH:
        seen = blind_bound(groups)
        low, high = seen * point, seen * point + (1 - seen) * most
    return [low, high]


def blind_bound(groups: int) -> float:
    """The least share of units, 0..1, that may be alike where all ``groups`` that were seen are."""
    return float(((1 - LEVEL) / 2) ** (1 / groups))


def clustered_rate(
    right: NDArray[np.bool_], units: NDArray[np.int64], resamples: int, seed: int
) -> tuple[float, list[float] | None]:
    """The share of right cases, and its interval over units.

    Args:
        right: bool (N,), N at least 1.
        units: int64 (N,), the unit of chance of each case.
        resamples: how many.
        seed: of them.
    """
    _, codes = np.unique(units, return_inverse=True)
    sums = np.zeros((int(codes.max()) + 1, 2), np.int64)
    np.add.at(sums, codes, np.stack([right, np.ones_like(right)], axis=1).astype(np.int64))
    drawn = resample_sums(sums, resamples, seed)
    point = float(right.mean())
    return point, interval(point, ratios(drawn[:, 0], drawn[:, 1]), len(sums))


def ratios(top: NDArray[np.number], bottom: NDArray[np.int64]) -> NDArray[np.float64]:
    """``top / bottom`` element by element, NaN where ``bottom`` is 0."""
    return np.asarray(np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0), dtype=np.float64)


def quiet_mean(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Mean over the finite values along ``axis``, NaN where there is none."""
    finite = np.isfinite(values)
    total = np.where(finite, values, 0.0).sum(axis=axis)
    counts = finite.sum(axis=axis)
    return ratios(total, counts)
