"""Statistics of returns: interquartile mean and bootstrap intervals (Agarwal et al., 2021)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

RESAMPLES = 2000
"""Bootstrap resamples of every interval."""


def iqm(returns: np.ndarray) -> float:
    """Interquartile mean of `[n]` values (Agarwal et al., 2021), robust and hardly biased."""
    return float(_middle_half(np.asarray(returns, float)))


def bootstrap_interval(
    samples: list[np.ndarray] | np.ndarray, statistic: str = "mean", seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean or the IQM.

    Args:
        samples: `[n]` episodes of one run, or a list of several runs' episodes. Runs are drawn
            with replacement and then each one's episodes, so that the interval covers both kinds
            of chance.
        statistic: `mean` or `iqm`, taken in each run and then averaged over runs.
        seed: seed of the resampling.

    Returns:
        Lower and upper end.
    """
    runs = [np.asarray(s, float) for s in ([samples] if np.ndim(samples[0]) == 0 else samples)]
    if len(runs) == 1 and statistic == "mean":
        means = _shares(len(runs[0]), seed) @ runs[0]
        low, high = np.quantile(means, (0.025, 0.975))
        return float(low), float(high)
    rng = np.random.default_rng(seed)
    # [runs, resamples]: each run's statistic under resampling of its episodes.
    statistics = np.empty((len(runs), RESAMPLES))
    for i, run in enumerate(runs):
        drawn = run[rng.integers(len(run), size=(RESAMPLES, len(run)))]
        trimmed = statistic == "iqm"
        statistics[i] = _middle_half(drawn) if trimmed else drawn.mean(axis=1)
    chosen = rng.integers(len(runs), size=(len(runs), RESAMPLES))
    low, high = np.quantile(np.take_along_axis(statistics, chosen, 0).mean(axis=0), (0.025, 0.975))
    return float(low), float(high)


@lru_cache(maxsize=2)
def _shares(count: int, seed: int) -> np.ndarray:
    """Return how much of each resample each of `count` episodes makes up, `[resamples, count]`.

    A report takes the intervals of hundreds of runs of one length.
    """
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    places = (drawn + count * np.arange(RESAMPLES)[:, None]).ravel()
    return np.bincount(places, minlength=RESAMPLES * count).reshape(RESAMPLES, count) / count


def _middle_half(values: np.ndarray) -> np.ndarray:
    """Return the mean of `[..., n]` values without the lowest and highest quarter, `[...]`.

    It is SciPy's `trim_mean(values, 0.25)`, whose import would take a second of every start.
    """
    count = values.shape[-1]
    cut = count // 4
    parted = np.partition(values, (cut, count - cut - 1), axis=-1)
    middle: np.ndarray = parted[..., cut : count - cut].mean(axis=-1)
    return middle
