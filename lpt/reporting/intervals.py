"""Confidence intervals of an algorithm's mean, which say what chance they cover.

The unit is the training seed: episodes of one seed share all that its learning happened to give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from lpt.reporting.statistics import bootstrap_interval
from lpt.reporting.student import t_quantile, t_within

MANY = 10
"""From so many seeds on they are resampled; fewer say too little of their distribution."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """Episodes of one training seed."""

    seed: int
    """The training seed."""
    first_reset: int
    """Episode i was reset with `first_reset + i`."""
    values: np.ndarray
    """`[episodes]` returns or scores."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A 95 % interval, or the reason why there is none."""

    low: float | None
    """Lower end."""
    high: float | None
    """Upper end."""
    method: str
    """How it was made, or why it was not."""
    note: str = ""
    """What it leaves out, for a table; empty where it covers seeds and episodes."""

    def text(self, digits: int) -> str:
        """Return `[low, high]` with so many digits and the note."""
        if self.low is None or self.high is None:
            return self.note
        ends = f"[{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{ends} {self.note}".strip()


@dataclass(frozen=True, kw_only=True)
class Mean:
    """A mean over seeds and its chance, if that can be known."""

    value: float
    """The mean."""
    interval: Interval
    """95 % interval."""
    p: float | None
    """Of a two-sided t test that it is zero; None where seeds are too few."""


def mean_of(runs: Sequence[Run]) -> Mean:
    """Return the mean over seeds, each counted once.

    The interval is, by the number of seeds:

    - one: a bootstrap of its episodes, which says nothing of other seeds
    - two: none
    - three to nine: Student's t over the seeds' means
    - ten and more: a hierarchical bootstrap of seeds and episodes
    - three and more that share resets: Student's t over the seeds' means and, for their common
      luck, the normal interval of the episodes' means over seeds; margins add in squares. So it is
      never narrower than the one over seeds, and some of the chance is counted twice.

    Args:
        runs: one for each seed, one at least.
    """
    means = np.array([run.values.mean() for run in runs])
    value, count = float(means.mean()), len(runs)
    if count == 1:
        low, high = bootstrap_interval(runs[0].values)
        method = "bootstrap of the episodes only, one training seed"
        interval = Interval(low=low, high=high, method=method, note="episodes only")
        return Mean(value=value, interval=interval, p=None)
    if count == 2:
        none = Interval(low=None, high=None, method="none from two seeds", note="none (two seeds)")
        return Mean(value=value, interval=none, p=None)
    seeds = float(means.std(ddof=1)) / math.sqrt(count)
    episodes = _error_of_shared(runs)
    p = _p_value(abs(value), seeds, episodes, count - 1)
    if count >= MANY and not episodes:
        low, high = bootstrap_interval([run.values for run in runs])
        interval = Interval(low=low, high=high, method="hierarchical bootstrap, seeds and episodes")
        return Mean(value=value, interval=interval, p=p)
    half = _margin(0.95, seeds, episodes, count - 1)
    method = "t over seeds and shared episodes" if episodes else "t over seeds"
    interval = Interval(low=value - half, high=value + half, method=method)
    return Mean(value=value, interval=interval, p=p)


def sharing(runs: Sequence[Run]) -> list[int]:
    """Return the seeds, in order, whose episodes were reset like another's."""
    spans = {run.seed: (run.first_reset, run.first_reset + len(run.values)) for run in runs}
    return sorted(
        seed
        for seed, (first, end) in spans.items()
        if any(a < end and first < b for other, (a, b) in spans.items() if other != seed)
    )


def differences(these: Sequence[Run], those: Sequence[Run]) -> list[Run]:
    """Return what one algorithm earns more than another, paired by seed and reset.

    Seeds that only one of them has, and episodes that only one of them played, are left out.
    """
    others = {run.seed: run for run in those}
    pairs = [(run, others[run.seed]) for run in these if run.seed in others]
    found = []
    for one, two in pairs:
        first = max(one.first_reset, two.first_reset)
        end = min(one.first_reset + len(one.values), two.first_reset + len(two.values))
        if first < end:
            a, b = (r.values[first - r.first_reset : end - r.first_reset] for r in (one, two))
            found.append(Run(seed=one.seed, first_reset=first, values=a - b))
    return found


def _error_of_shared(runs: Sequence[Run]) -> float:
    """Return the standard error over episodes of their means over seeds; 0 if none are shared."""
    if not sharing(runs):
        return 0.0
    played: dict[int, list[float]] = {}
    for run in runs:
        for i, value in enumerate(run.values.tolist()):
            played.setdefault(run.first_reset + i, []).append(value)
    episodes = np.array([np.mean(values) for values in played.values()])
    return float(episodes.std(ddof=1)) / math.sqrt(len(episodes)) if len(episodes) > 1 else 0.0


def _margin(within: float, seeds: float, episodes: float, freedom: int) -> float:
    """Return half of an interval, from the standard errors over seeds and over shared episodes."""
    normal = NormalDist().inv_cdf((1 + within) / 2)
    return math.hypot(t_quantile(freedom, within) * seeds, normal * episodes)


def _p_value(distance: float, seeds: float, episodes: float, freedom: int) -> float | None:
    """Return the share at which an interval would just reach zero; None without any spread."""
    if seeds + episodes == 0:
        return None
    if episodes == 0:
        return 1 - t_within(distance / seeds, freedom)
    low, high = 1e-12, 1 - 1e-12
    for _ in range(60):
        middle = math.sqrt(low * high)
        reaches = _margin(1 - middle, seeds, episodes, freedom) > distance
        low, high = (middle, high) if reaches else (low, middle)
    return high
