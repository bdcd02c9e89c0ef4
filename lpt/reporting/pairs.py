"""Pairs of algorithms under the same conditions, and what a latent plan adds to its baselines."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from lpt.reporting.comparison import LEAST, holm, improvement_interval, probability_of_improvement
from lpt.reporting.intervals import Mean, Run, differences, mean_of
from lpt.reporting.results import DISPLAY_NAMES
from lpt.reporting.rows import PLANS, Row, domain, names_of, split_name
from lpt.reporting.tables import column_of, digits_of

BASELINES = ("dt-final", "goal", "bc-10")
"""What a plan has to beat: the return itself, a goal, and cloning of the best tenth."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """How much one algorithm earns more than another."""

    place: str
    """The task with its conditions, or the domain with its tasks."""
    one: str
    """The first algorithm's name in results."""
    two: str
    """The second's."""
    unit: str
    """`exact`, `near` or `raw`, see `Row.kind`."""
    digits: int
    """Digits to show."""
    seeds: tuple[int, ...] = ()
    """Training seeds that both have."""
    mean: Mean | None = None
    """Of the differences, paired by seed and reset; None where they cannot be compared."""
    missing: str = ""
    """Why they cannot."""
    improvement: float | None = None
    """P(a seed of the first earns more than one of the second); None for fewer than three seeds."""
    improvement_interval: tuple[float | None, float | None] = (None, None)
    """Its 95 % interval, where tasks and seeds allow one."""
    p_adjusted: float | None = None
    """The t test's p, adjusted for all pairs of the table (Holm)."""

    @property
    def verdict(self) -> str:
        """What the interval says: ahead, equal within the interval, or behind."""
        if self.mean is None:
            return f"{self.missing}: nothing is claimed"
        low, high = self.mean.interval.low, self.mean.interval.high
        if low is None or high is None:
            return "two seeds say nothing of chance: nothing is claimed"
        alone = len(self.seeds) == 1
        begin = f"training seed {self.seeds[0]} alone: " if alone else ""
        others = ", which says nothing of other seeds" if alone else ""
        if low > 0:
            return f"{begin}ahead by at least {self._number(low)}{others}"
        if high < 0:
            return f"{begin}behind by at least {self._number(-high)}{others}"
        ends = f"{self._number(low)} to {self._number(high)}"
        return f"{begin}equal within the interval, which leaves room for {ends}{others}"

    def _number(self, value: float) -> str:
        shown = f"{value:.{self.digits}f}"
        return shown if float(shown) else f"{value:.2g}"


def all_pairs(rows: Sequence[Row]) -> list[Pair]:
    """Return every pair of algorithms of one task that share their conditions."""
    names = dict(zip(map(id, rows), names_of(rows), strict=True))
    return [
        _pair(names[id(one)], one, two)
        for group in _groups(rows)
        for one, two in combinations(group, 2)
    ]


def plan_pairs(rows: Sequence[Row]) -> list[Pair]:
    """Return plans against baselines: tasks first, then the domains over which they average.

    Also named are the pairs that are missing, so that none is left out silently.
    """
    wanted = list(_wanted(rows))
    names = names_of([plan for plan, _, _, _ in wanted])
    found = []
    families: dict[tuple[str, ...], list[tuple[Row, Row]]] = {}
    for name, (plan, baseline, other, reason) in zip(names, wanted, strict=True):
        if other is None:
            found.append(_missing(name, plan, baseline, reason))
            continue
        found.append(_pair(name, plan, other))
        key = *_family(plan), plan.algorithm, baseline
        families.setdefault(key, []).append((plan, other))
    for key, pairs in families.items():
        every = {plan.task for plan, *_ in wanted if (*_family(plan), plan.algorithm) == key[:-1]}
        if len(_tasks(pairs)) > 1:
            found.append(_domain_pair(pairs, len(every)))
    adjusted = holm([None if pair.mean is None else pair.mean.p for pair in found])
    return [replace(pair, p_adjusted=p) for pair, p in zip(found, adjusted, strict=True)]


def _wanted(rows: Iterable[Row]) -> Iterator[tuple[Row, str, Row | None, str]]:
    """Yield a plan, a baseline's name, its row, and why there is none if there is none.

    Variants are compared to variants of the same name; of these none is missed.
    """
    for group in _groups(rows):
        for plan in (row for row in group if split_name(row.algorithm)[0] in PLANS):
            _, variant = split_name(plan.algorithm)
            for name in BASELINES:
                baseline = f"{name}-{variant}" if variant else name
                others = [row for row in group if row.algorithm == baseline]
                fitting = [row for row in others if row.updates == plan.updates]
                for other in fitting:
                    yield plan, baseline, other, ""
                if not fitting and column_of(plan) is not None:
                    trained = "/".join(str(row.updates) for row in others)
                    reason = f"has {trained} updates" if others else "was not run"
                    yield plan, baseline, None, f"{baseline} {reason}"


def _groups(rows: Iterable[Row]) -> Iterator[list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.task, row.conditions), []).append(row)
    yield from (sorted(group, key=_order) for group in groups.values())


def _order(row: Row) -> tuple[int, str, int]:
    name, _ = split_name(row.algorithm)
    place = list(DISPLAY_NAMES).index(name) if name in DISPLAY_NAMES else len(DISPLAY_NAMES)
    return place, row.algorithm, row.updates


def _family(row: Row) -> tuple[str, ...]:
    """Return what tasks share that are averaged; which resets they took is each task's affair."""
    conditions = row.conditions
    return domain(row.task), row.kind, conditions.source, conditions.labels, conditions.actions


def _pair(place: str, one: Row, two: Row) -> Pair:
    paired = differences(one.runs, two.runs)
    return _compared(place, [(one, two)], paired)


def _domain_pair(pairs: list[tuple[Row, Row]], tasks: int) -> Pair:
    """Return the mean over tasks: each seed's differences are averaged, then seeds compared."""
    done, family = len(_tasks(pairs)), domain(pairs[0][0].task)
    count = f"{done} tasks" if done == tasks else f"{done} of {tasks} tasks"
    place = f"{family}, mean of {count}"
    if len(pairs) > done:
        one, two = pairs[0]
        return _missing(place, one, two.algorithm, "a task has several rows")
    return _compared(place, pairs, _average([differences(a.runs, b.runs) for a, b in pairs]))


def _compared(place: str, pairs: list[tuple[Row, Row]], paired: list[Run]) -> Pair:
    """Return what differences say, of one pair of rows or of one in each task."""
    one, two = pairs[0]
    if not paired:
        return _missing(place, one, two.algorithm, "no seed and reset in common")
    mean, digits = mean_of(paired), max(digits_of(row) for pair in pairs for row in pair)
    low, high = mean.interval.low, mean.interval.high
    narrow = low is not None and high is not None and high - low < 2
    strata = [(a.means, b.means) for a, b in pairs]
    enough = min(len(row.records) for pair in pairs for row in pair) >= LEAST
    return Pair(
        place=place,
        one=one.algorithm,
        two=two.algorithm,
        unit=one.kind,
        digits=max(digits, 2) if narrow else digits,
        seeds=tuple(run.seed for run in paired),
        mean=mean,
        improvement=probability_of_improvement(strata) if enough else None,
        improvement_interval=improvement_interval(strata),
    )


def _missing(place: str, plan: Row, baseline: str, reason: str) -> Pair:
    return Pair(
        place=place,
        one=plan.algorithm,
        two=baseline,
        unit=plan.kind,
        digits=digits_of(plan),
        missing=reason,
    )


def _tasks(pairs: list[tuple[Row, Row]]) -> list[str]:
    return list(dict.fromkeys(plan.task for plan, _ in pairs))


def _average(tasks: list[list[Run]]) -> list[Run]:
    """Return seeds that all tasks have, with the mean over tasks of episodes reset alike."""
    by_seed = [{run.seed: run for run in runs} for runs in tasks]
    found = []
    for seed in sorted(set.intersection(*map(set, by_seed))):
        runs = [task[seed] for task in by_seed]
        first = max(run.first_reset for run in runs)
        end = min(run.first_reset + len(run.values) for run in runs)
        if first < end:
            parts = [run.values[first - run.first_reset : end - run.first_reset] for run in runs]
            found.append(Run(seed=seed, first_reset=first, values=np.mean(parts, axis=0)))
    return found
