"""Performance profiles of the algorithms of a domain, from rows that may be put side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lpt.reporting.comparison import performance_profile, profile_band
from lpt.reporting.results import DISPLAY_NAMES
from lpt.reporting.rows import Row, domain
from lpt.reporting.tables import UNITS, column_of

LEVELS = 101
"""Scores at which a profile is read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """The share of an algorithm's runs above each score, in tasks that all algorithms have."""

    place: str
    """The domain and what its rows share."""
    tasks: tuple[str, ...]
    """Tasks that are averaged."""
    algorithm: str
    """As in `DISPLAY_NAMES`."""
    seeds: tuple[int, ...]
    """Runs of each task."""
    unit: str
    """What the scores are."""
    levels: np.ndarray
    """`[levels]` scores."""
    shares: np.ndarray
    """`[levels]` shares of runs above."""
    band: tuple[np.ndarray, np.ndarray] | None
    """Pointwise 95 % band, None where a task has fewer than three runs."""


def profiles_of(rows: Sequence[Row]) -> list[Profile]:
    """Return the profiles of every domain in which two algorithms or more have tasks in common.

    Of several rows of one algorithm and task, such as with other updates, the one with most seeds.
    """
    families: dict[tuple[str, ...], dict[str, dict[str, Row]]] = {}
    for row in rows:
        column, c = column_of(row), row.conditions
        if column is None:
            continue
        key = domain(row.task), row.kind, c.source, c.labels, c.actions
        tasks = families.setdefault(key, {}).setdefault(column, {})
        if row.task not in tasks or len(row.records) > len(tasks[row.task].records):
            tasks[row.task] = row
    return [profile for key, found in families.items() for profile in _family(key, found)]


def _family(key: tuple[str, ...], found: dict[str, dict[str, Row]]) -> list[Profile]:
    found = dict(found)
    while len(found) > 1 and not set.intersection(*map(set, found.values())):
        del found[min(found, key=lambda name: len(found[name]))]
    if len(found) < 2:
        return []
    tasks = tuple(sorted(set.intersection(*map(set, found.values()))))
    scores = {name: [found[name][task].means for task in tasks] for name in found}
    every = np.concatenate([means for runs in scores.values() for means in runs])
    margin = max(0.02 * float(np.ptp(every)), 1e-6)
    levels = np.linspace(every.min() - margin, every.max() + margin, LEVELS)
    family, kind, source, labels, actions = key
    shared: dict[str, Any] = {
        "place": f"{family}, {source} data, {labels} labels, {actions} actions",
        "tasks": tasks,
        "unit": UNITS[kind],
        "levels": levels,
    }
    return [
        Profile(
            algorithm=name,
            seeds=tuple(len(means) for means in scores[name]),
            shares=performance_profile(scores[name], levels),
            band=profile_band(scores[name], levels),
            **shared,
        )
        for name in sorted(scores, key=list(DISPLAY_NAMES).index)
    ]
