"""Returns asked for, predicted by the plans, and earned: from result files and sweeps.

Read are `seed<k>.json`, `sweep*.json` (both as `lpt-eval --sweep --out` writes them) and
`play-seed<k>.json` (games of Connect Four, of `scripts/connect_four.py measure`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lpt.reporting.intervals import Mean, Run, mean_of
from lpt.reporting.results import read_result
from lpt.reporting.rows import PLANS, split_name

_OUTCOMES = {"W": 1.0, "D": 0.0, "L": -1.0}


@dataclass(frozen=True, kw_only=True, eq=False)
class Asked:
    """What one policy earned when it was asked for one return, raw units."""

    task: str
    """Task."""
    algorithm: str
    """Its name in results."""
    seed: int
    """Training seed."""
    updates: int
    """Updates of the checkpoint."""
    weight: float
    """Planning weight w."""
    target: float
    """Return asked for."""
    fixed: bool
    """Whether this is the target that results are reported for."""
    predicted: float | None
    """Mean return that the plans predict; None where it was not recorded."""
    first_reset: int
    """Episode i was reset with `first_reset + i`."""
    returns: np.ndarray
    """`[episodes]` earned."""
    file: str
    """Where it stands, below the folder of results."""

    @property
    def run(self) -> Run:
        """Its episodes."""
        return Run(seed=self.seed, first_reset=self.first_reset, values=self.returns)


def read_asked(results: Path) -> list[Asked]:
    """Return every evaluation below a folder whose files hold more targets than one.

    Raises:
        ValueError: if a file cannot be read.
    """
    found: list[Asked] = []
    for pattern, read in (("seed*", _swept), ("sweep*", _swept), ("play-seed*", _played)):
        for path in sorted(results.glob(f"**/{pattern}.json")):
            found += read(path, path.relative_to(results).as_posix())
    return sorted(found, key=lambda a: (a.task, a.algorithm, a.seed, a.file, a.target))


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """What the training seeds of one algorithm earn for each target."""

    task: str
    """Task."""
    algorithm: str
    """Its name in results."""
    points: dict[float, list[Asked]]
    """Seeds by target, from the lowest."""

    def earned(self, target: float) -> Mean:
        """Return the mean over seeds for a target."""
        return mean_of([one.run for one in self.points[target]])

    @property
    def fixed(self) -> float | None:
        """The target that results are reported for, None if it was not among them."""
        return next((t for t, seeds in self.points.items() if seeds[0].fixed), None)

    @property
    def best(self) -> float:
        """The target that earned most, chosen by these same episodes."""
        return max(self.points, key=lambda target: self.earned(target).value)


def lines_of(asked: Iterable[Asked]) -> list[Line]:
    """Return evaluations as lines; seeds with other targets or updates have lines of their own."""
    files: dict[str, list[Asked]] = {}
    for one in asked:
        files.setdefault(one.file, []).append(one)
    groups: dict[tuple[Any, ...], dict[float, list[Asked]]] = {}
    for group in files.values():
        first = group[0]
        kind = re.sub(r"\d*\.json$", "", Path(first.file).name)  # seed3.json, play-seed3.json
        targets = tuple(one.target for one in group)
        weight = first.weight if split_name(first.algorithm)[0] in PLANS else None
        key = first.task, first.algorithm, kind, first.updates, weight, targets
        points = groups.setdefault(key, {})
        for one in group:
            points.setdefault(one.target, []).append(one)
    return [Line(task=key[0], algorithm=key[1], points=points) for key, points in groups.items()]


def _swept(path: Path, file: str) -> Iterator[Asked]:
    record = read_result(path)
    for point in record.get("sweep") or []:
        yield Asked(
            task=record["task"],
            algorithm=record["algorithm"],
            seed=record["seed"],
            updates=int(record.get("updates", 0)),
            weight=float(point["weight"]),
            target=float(point["target"]),
            fixed=point["target"] == record["last"]["target"],
            predicted=point.get("predicted_return"),
            first_reset=int(point["seed"]),
            returns=np.asarray(point["returns"], float),
            file=file,
        )


def _played(path: Path, file: str) -> Iterator[Asked]:
    """Yield drawn games: actions are drawn where results are reported."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    points = [point for point in record["points"] if point["actions"] == "sample"]
    for point in points:
        yield Asked(
            task=record["task"],
            algorithm=record["algorithm"],
            seed=record["seed"],
            updates=int(record.get("updates", record.get("step", 0))),
            weight=float(record["weight"]),
            target=float(point["target"]),
            fixed=point["target"] == max(p["target"] for p in points),
            predicted=point.get("predicted_return"),
            first_reset=0,  # not stored, but the same for all seeds
            returns=np.array([_OUTCOMES[letter] for letter in point["returns"]]),
            file=file,
        )
