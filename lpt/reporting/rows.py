"""Rows: result files that may be averaged, and the words that tell rows apart.

Averaged are training seeds of one algorithm that differ in nothing else: same task and environment,
same data and labels, same updates, same target and planning weight, same way to act and to reset.
Algorithms stand in one line of a table, and are compared, only under the same `Conditions`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from lpt.config.settings import OWN_RESETS
from lpt.data.scores import ScoreReference, find_reference, normalized_score
from lpt.reporting.intervals import Mean, Run, mean_of, sharing
from lpt.reporting.results import DISPLAY_NAMES

Record = dict[str, Any]
UNKNOWN = "not recorded"
PLANS = ("lpt", "lpt-ei")
"""Algorithms with a latent plan."""
_ROBOTS = ("halfcheetah", "hopper", "walker2d", "ant")
_APART = ("seed", "out", "results", "device", "label", "track", "init_from", "resume", "preset")
"""Settings that do not decide what is learned, besides those of `training` below."""
_WATCHING = ("log_every", "checkpoint_minutes", "threads", "evaluate_every", "evaluate_episodes")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """What two algorithms must share to be compared, in words."""

    env_id: str
    """The environment."""
    source: str
    """Whose data, such as `regenerated`."""
    data: str
    """Beginning of the data's fingerprint."""
    labels: str
    """`held` or `recorded` returns."""
    actions: str
    """`most probable` or `drawn`."""
    resets: str
    """`own resets` for every training seed, or which ones they share."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Row:
    """Training seeds of one algorithm under the same conditions and settings."""

    task: str
    """Task."""
    algorithm: str
    """Its name in results, with the variant, such as `lpt-ei-draws4`."""
    conditions: Conditions
    """What it shares with what it is compared to."""
    rule: str
    """Where its target comes from: `set` by the configuration or the `data`'s 99 % quantile."""
    target: float
    """Return asked for, raw units."""
    weight: float
    """Planning weight w."""
    updates: int
    """Updates of the last checkpoint."""
    records: tuple[Record, ...]
    """Result files, by training seed."""

    @cached_property
    def kind(self) -> str:
        """`exact`: D4RL's score; `near`: its constants in a successor environment; `raw`."""
        return kind_of(self.records[0])

    @property
    def reference(self) -> ScoreReference | None:
        """What scores refer to, None where values are raw returns."""
        return None if self.kind == "raw" else find_reference(self.task)

    @cached_property
    def runs(self) -> list[Run]:
        """The last checkpoints' episodes, in the row's unit."""
        return [self._run(record, record["last"]) for record in self.records]

    @property
    def best(self) -> list[Run]:
        """The best checkpoints' episodes, of the seeds that have one."""
        return [self._run(r, r["best"]) for r in self.records if r.get("best")]

    @cached_property
    def means(self) -> np.ndarray:
        """`[seeds]` means of the last checkpoints."""
        return np.array([run.values.mean() for run in self.runs])

    @cached_property
    def mean(self) -> Mean:
        """The mean over seeds of the last checkpoints, with its interval."""
        return mean_of(self.runs)

    @property
    def commits(self) -> list[str]:
        """Commits that the seeds were trained with, shortened."""
        return sorted({_short(record.get("commit")) for record in self.records})

    @property
    def precisions(self) -> list[str]:
        """Precisions that the seeds were trained in."""
        settings = [record.get("config", {}).get("training", {}) for record in self.records]
        return sorted({str(one.get("precision") or UNKNOWN) for one in settings})

    @property
    def remarks(self) -> list[str]:
        """What a reader must know of this row besides its numbers."""
        found = []
        if shared := sharing(self.runs):
            found.append(f"seeds {', '.join(map(str, shared))} share resets")
        if changed := _changed_settings(self.records):
            found.append(f"seeds differ in {', '.join(changed)}")
        return found

    def value(self, returns: Any) -> np.ndarray:
        """Return raw returns in the row's unit."""
        values = np.asarray(returns, float)
        reference = self.reference
        return values if reference is None else reference.score(values)

    def _run(self, record: Record, evaluation: Record) -> Run:
        values = self.value(evaluation["returns"])
        return Run(seed=record["seed"], first_reset=int(evaluation["seed"]), values=values)


def rows_of(records: Iterable[Record]) -> list[Row]:
    """Return records as rows, in the order of the first of each."""
    records = list(records)
    known: dict[tuple[str, ...], set[str]] = {}
    for record in records:
        for scope in _scopes(record):
            if len(fitting := _fitting_resets(record)) == 1:
                known.setdefault(scope, set()).update(fitting)
    groups: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_identity(record, known), []).append(record)
    names = [f.name for f in fields(Row)]
    return [
        Row(**dict(zip(names, (*key, tuple(sorted(group, key=_seed))), strict=True)))
        for key, group in groups.items()
    ]


def kind_of(record: Record) -> str:
    """Return what a record's numbers can be: `exact`, `near` or `raw`, see `Row.kind`."""
    scored = normalized_score(record["task"], [0.0], record["last"].get("env_id"))
    if scored.scores is None:
        return "raw"
    return "exact" if scored.exact else "near"


def names_of(rows: Sequence[Row], columns: Sequence[str] = ()) -> list[str]:
    """Return each row's task with those conditions in which rows of that task differ.

    Args:
        rows: all rows of a table.
        columns: conditions that the table has columns for.
    """
    seen: dict[tuple[str, str], set[str]] = {}
    shown = [field.name for field in fields(Conditions) if field.name not in columns]
    for row in rows:
        for name in shown:
            for scope in ((row.task, name), _scope(row, name)):
                seen.setdefault(scope, set()).add(getattr(row.conditions, name))
    return [_name(row, {n for n in shown if len(seen[_scope(row, n)]) > 1}) for row in rows]


def split_name(algorithm: str) -> tuple[str, str]:
    """Return an algorithm's name in results as that of `DISPLAY_NAMES` and its variant's."""
    fitting = [n for n in DISPLAY_NAMES if algorithm == n or algorithm.startswith(f"{n}-")]
    name = max(fitting, key=len, default=algorithm)
    return name, algorithm[len(name) + 1 :]


def domain(task: str) -> str:
    """Return the family of tasks over which scores are averaged, the task itself if it has none."""
    stem = task.split("-")[0]
    if stem in _ROBOTS:
        return "gym-mujoco"
    if task.startswith("connect-four"):
        return "connect-four"
    return stem if stem in ("maze2d", "antmaze", "kitchen") else task


def _seed(record: Record) -> int:
    return int(record["seed"])


def _scopes(record: Record) -> tuple[tuple[str, ...], ...]:
    return (record["task"], record["algorithm"]), (record["task"],)


def _identity(record: Record, known: dict[tuple[str, ...], set[str]]) -> tuple[Any, ...]:
    """Return what records of one row have in common, as the fields of `Row`."""
    last, config = record["last"], record.get("config", {})
    chosen = config.get("evaluation", {}).get("target")
    rule = "data" if chosen is None else "set" if chosen == last["target"] else "by hand"
    conditions = Conditions(
        env_id=str(last.get("env_id")),
        source=str(record["data"].get("source")),
        data=str(record["data"].get("fingerprint"))[:8],
        labels=_labels(record),
        actions="most probable" if last.get("deterministic", True) else "drawn",
        resets=_resets(record, known),
    )
    updates = int(record.get("updates", 0))
    asked = rule, float(last["target"]), float(last["weight"])
    return record["task"], record["algorithm"], conditions, *asked, updates


def _labels(record: Record) -> str:
    """Return the convention of the returns that were learned from."""
    places = (
        record.get("labels"),
        record["data"].get("details", {}).get("returns"),
        record.get("config", {}).get("dataset", {}).get("returns"),
    )
    return next((str(place) for place in places if place is not None), UNKNOWN)


def _resets(record: Record, known: dict[tuple[str, ...], set[str]]) -> str:
    """Return how a record was reset; a seed 0, which fits two ways, goes with its neighbors."""
    fitting = _fitting_resets(record)
    for scope in _scopes(record):
        for way in fitting:
            if way in known.get(scope, ()):
                return way
    return fitting[0]


def _fitting_resets(record: Record) -> list[str]:
    first = int(record["last"]["seed"])
    base = record.get("config", {}).get("evaluation", {}).get("seed")
    own, shared = "own resets", f"resets from {first}"
    if base is None or first != base + OWN_RESETS * record["seed"]:
        return [shared]
    return [own] if record["seed"] else [own, shared]


def _scope(row: Row, condition: str) -> tuple[str, str]:
    """Return among which rows a condition is told apart; D4RL's own environments need no name."""
    exact = condition == "env_id" and row.kind == "exact"
    return row.task, f"{condition} of D4RL" if exact else condition


def _name(row: Row, differing: set[str]) -> str:
    conditions, name = row.conditions, row.task
    if row.kind == "near" or "env_id" in differing:
        name += f" in {conditions.env_id}"
    words = {
        "source": f"{conditions.source} data",
        "data": f"data {conditions.data}",
        "labels": f"{conditions.labels} labels",
        "actions": f"{conditions.actions} actions",
        "resets": conditions.resets,
    }
    if "source" in differing:
        differing = differing - {"data"}
    shown = [text for field, text in words.items() if field in differing]
    return f"{name} ({', '.join(shown)})" if shown else name


def _short(commit: Any) -> str:
    if not isinstance(commit, str):
        return UNKNOWN
    head, plus, _ = commit.partition("+")
    return f"{head[:9]}+" if plus else head if " " in head else head[:9]


def _changed_settings(records: Sequence[Record]) -> list[str]:
    """Return settings in which a row's records differ, of those that all of them have."""
    trees = [_flat(record.get("config", {})) for record in records]
    shared = set.intersection(*map(set, trees)) if trees else set()
    return sorted(name for name in shared if len({repr(tree[name]) for tree in trees}) > 1)


def _flat(tree: Record, prefix: str = "") -> Record:
    found: Record = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            if name != "evaluation":  # what was done stands beside the episodes
                found.update(_flat(value, f"{prefix}{name}."))
        elif (prefix or name not in _APART) and not (prefix == "training." and name in _WATCHING):
            found[prefix + name] = value
    return found
