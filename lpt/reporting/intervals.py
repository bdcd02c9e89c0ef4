"""Confidence intervals of an algorithm's mean, which say what chance they cover.

The unit is the training seed: episodes of one seed share all that its learning happened to give.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    - three and more that share resets: Student's t over the seeds' means, to whose variance that of
      the shared episodes is added, with degrees of freedom by Welch and Satterthwaite

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
    error, freedom = _standard_error(runs, means)
    p = None if error == 0 else 1 - t_within(abs(value) / error, freedom)
    if count >= MANY and not sharing(runs):
        low, high = bootstrap_interval([run.values for run in runs])
        interval = Interval(low=low, high=high, method="hierarchical bootstrap, seeds and episodes")
        return Mean(value=value, interval=interval, p=p)
    half = t_quantile(freedom) * error
    method = "t over seeds and shared episodes" if sharing(runs) else "t over seeds"
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


def _standard_error(runs: Sequence[Run], means: np.ndarray) -> tuple[float, int]:
    """Return the standard error of the mean over seeds and its degrees of freedom, rounded down."""
    count = len(runs)
    seeds = float(means.var(ddof=1)) / count
    if not sharing(runs):
        return math.sqrt(seeds), count - 1
    played: dict[int, list[float]] = {}
    for run in runs:
        for i, value in enumerate(run.values.tolist()):
            played.setdefault(run.first_reset + i, []).append(value)
    episodes = np.array([np.mean(values) for values in played.values()])
    chance = float(episodes.var(ddof=1)) / len(episodes) if len(episodes) > 1 else 0.0
    if seeds + chance == 0:
        return 0.0, count - 1
    parts = seeds**2 / (count - 1) + chance**2 / max(len(episodes) - 1, 1)
    return math.sqrt(seeds + chance), max(int((seeds + chance) ** 2 / parts), 1)
