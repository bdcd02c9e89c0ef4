"""Comparing algorithms over tasks and few seeds (Agarwal et al., 2021).

"Deep Reinforcement Learning at the Edge of the Statistical Precipice", NeurIPS 2021. A run's score
is the mean of its episodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lpt.reporting.statistics import RESAMPLES

LEAST = 3
"""Fewer runs of a task are not resampled: a bootstrap of one or two shows hardly any chance."""
Stratum = tuple[np.ndarray, np.ndarray]
"""One task: the runs' scores of both algorithms, `[n]` and `[m]`."""


def probability_of_improvement(tasks: Sequence[Stratum]) -> float:
    """Return P(a run of the first earns more than one of the second), the mean over tasks.

    Ties count half (Mann and Whitney's U).
    """
    return float(np.mean([_improvement(x[None], y[None])[0] for x, y in tasks]))


def improvement_interval(
    tasks: Sequence[Stratum], seed: int = 0
) -> tuple[float, float] | tuple[None, None]:
    """Return the 95 % interval of `probability_of_improvement`, runs resampled within tasks.

    There is none where a task has fewer than `LEAST` runs of either, or where all tasks together
    have fewer than ten.
    """
    sizes = [(len(x), len(y)) for x, y in tasks]
    if min(map(min, sizes)) < LEAST or min(map(sum, zip(*sizes, strict=True))) < 10:
        return None, None
    rng = np.random.default_rng(seed)
    drawn = np.mean([_improvement(_drawn(x, rng), _drawn(y, rng)) for x, y in tasks], axis=0)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def performance_profile(tasks: Sequence[np.ndarray], levels: np.ndarray) -> np.ndarray:
    """Return the share of runs that score above each level, tasks weighing alike, `[levels]`.

    Args:
        tasks: the runs' scores `[n]` of each task.
        levels: `[levels]` scores.
    """
    shares = np.array([(np.asarray(t)[:, None] > levels).mean(axis=0) for t in tasks])
    profile: np.ndarray = shares.mean(axis=0)
    return profile


def profile_band(
    tasks: Sequence[np.ndarray], levels: np.ndarray, seed: int = 0
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the pointwise 95 % band of a profile, runs resampled within tasks.

    None where a task has fewer than `LEAST` runs.
    """
    if min(map(len, tasks)) < LEAST:
        return None
    rng = np.random.default_rng(seed)
    shares = [(_drawn(np.asarray(t), rng)[..., None] > levels).mean(axis=1) for t in tasks]
    low, high = np.quantile(np.mean(shares, axis=0), (0.025, 0.975), axis=0)
    return low, high


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return p values adjusted for their number (Holm, 1979); None stays None."""
    tested = sorted((p, i) for i, p in enumerate(values) if p is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (p, i) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[i] = largest
    return adjusted


def _drawn(scores: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return `[n]` scores resampled, `[resamples, n]`."""
    drawn: np.ndarray = scores[rng.integers(len(scores), size=(RESAMPLES, len(scores)))]
    return drawn


def _improvement(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return P(x > y) + P(x = y) / 2 of `[r, n]` and `[r, m]` scores, `[r]`."""
    gap = x[:, :, None] - y[:, None, :]
    above: np.ndarray = (gap > 0).mean(axis=(1, 2)) + (gap == 0).mean(axis=(1, 2)) / 2
    return above
