"""Result files: `results/<task>/<algorithm>/seed<k>.json`, with the raw return of every episode.

Every table and figure is made from these files (`lpt.reporting.tables`). The last checkpoint and,
apart from it, the best one are reported: the last is the result, the best is what a selection by
test returns would have given.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from lpt.algorithms import find_algorithm
from lpt.checkpoint.metadata import PolicyMetadata, current_versions
from lpt.config import to_tree
from lpt.data.scores import normalized_score
from lpt.evaluation.rollout import Evaluation
from lpt.machine.files import atomic_write, json_text
from lpt.machine.untrusted import parsing
from lpt.reporting.curve import Point
from lpt.reporting.statistics import bootstrap_interval, iqm

DISPLAY_NAMES = {
    "lpt": "LPT",
    "lpt-ei": "LPT-EI",
    "bc": "BC",
    "bc-10": "10%BC",
    "dt-final": "DT, final return",
    "dt": "DT, step-wise",
    "goal": "goal prompt",
}
"""Algorithms as tables and figures call them, in their order."""
DATA_RETURNS = ("mean", "q90", "best")
"""What tables say of the returns of data, each trajectory counted once."""


def result_name(algorithm: str, weight: float = 1.0, label: str = "") -> str:
    """Return what an algorithm is called in results: `lpt`, `lpt-ei` (w > 1), `lpt-<label>`, ..."""
    name = find_algorithm(algorithm).result_name(weight)
    return f"{name}-{label}" if label else name


def result_path(task: str, name: str, seed: int) -> Path:
    """Return where a result lies below the folder of results."""
    return Path(task) / name / f"seed{seed}.json"


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """One evaluation as plain JSON types: raw returns, their statistics, and the score.

    Returns:
        `returns` and `lengths` of every episode; `mean`, `std`, `iqm`, `ci95` (of the
        mean) and `iqm_ci95` in raw units; `score`, `score_ci95`, `score_iqm` and
        `reference` (which constants, or why there is no score); `exact` is False for a score by
        D4RL's constants that is not D4RL's metric.
    """
    returns = evaluation.returns
    scored = normalized_score(evaluation.task, returns, evaluation.env_id)
    record = {
        "env_id": evaluation.env_id,
        "target": evaluation.target,
        "weight": evaluation.weight,
        "deterministic": evaluation.deterministic,
        "seed": evaluation.seed,
        "episodes": len(returns),
        **evaluation.plans,
        "mean": float(returns.mean()),
        "std": float(returns.std()),
        "iqm": iqm(returns),
        "ci95": list(bootstrap_interval(returns)),
        "iqm_ci95": list(bootstrap_interval(returns, "iqm")),
        "score": scored.mean,
        "score_iqm": None if scored.scores is None else iqm(scored.scores),
        "score_ci95": None if scored.scores is None else list(bootstrap_interval(scored.scores)),
        "reference": scored.label,
        "exact": scored.exact,
        "seconds": evaluation.seconds,
        "returns": returns.tolist(),
        "lengths": evaluation.lengths.tolist(),
    }
    if evaluation.successes is not None:
        record["success_rate"] = float(evaluation.successes.mean())
    return record


def result_record(
    metadata: PolicyMetadata,
    algorithm: str,
    last: Evaluation,
    best: Evaluation | None = None,
    *,
    wall_seconds: float | None = None,
    best_updates: int | None = None,
    sweep: list[Evaluation] | None = None,
    curve: list[Point] | None = None,
) -> dict[str, Any]:
    """Return the content of a result file.

    Args:
        metadata: of the last checkpoint.
        algorithm: its name in results (`result_name`).
        last: its evaluation.
        best: evaluation of the best checkpoint, reported apart.
        wall_seconds: training time.
        best_updates: updates of the best checkpoint.
        sweep: evaluations of the last checkpoint for other targets, all of them.
        curve: evaluations while learning, of this algorithm.
    """
    origin = metadata.provenance
    return {
        "task": metadata.task,
        "algorithm": algorithm,
        "seed": metadata.seed,
        "commit": metadata.versions.get("commit"),
        "labels": metadata.config.dataset.returns,
        "data": {
            **portable(origin),
            "source": origin.get("source"),
            "fingerprint": origin.get("fingerprint"),
        },
        "env_id": last.env_id,
        "updates": metadata.updates,
        "wall_seconds": wall_seconds,
        "last": {"updates": metadata.updates, **evaluation_record(last)},
        "best": best and {"updates": best_updates, **evaluation_record(best)},
        "sweep": [evaluation_record(e) for e in sweep or []],
        "curve": [point.model_dump(exclude_none=True) for point in curve or []],
        "versions": {"training": metadata.versions, "evaluation": current_versions()},
        "config": portable(to_tree(metadata.config)),
    }


def portable(record: dict[str, Any]) -> dict[str, Any]:
    """Return a nested record whose absolute paths are cut to their names: results are published."""

    def cut(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return portable(value)
        named = key in ("path", "source", "out", "results", "init_from") and isinstance(value, str)
        return Path(value).name if named and Path(value).expanduser().is_absolute() else value

    return {key: cut(key, value) for key, value in record.items()}


def save_result(
    results: Path | str,
    metadata: PolicyMetadata,
    algorithm: str,
    last: Evaluation,
    best: Evaluation | None = None,
    **details: Any,
) -> Path:
    """Write `results/<task>/<algorithm>/seed<k>.json`; see `result_record`.

    A file that is there is kept as `previous-<n>-seed<k>.json`, with a word on stderr.
    """
    record = result_record(metadata, algorithm, last, best, **details)
    path = Path(results) / result_path(metadata.task, algorithm, metadata.seed)
    with atomic_write(path, overwrite=True) as made:
        made.write_text(json_text(record), encoding="utf-8")
        if path.exists():
            _keep(path)
    return path


def _keep(path: Path) -> None:
    """Give a result another name besides its own, which the next one takes."""
    names = (path.with_name(f"previous-{n}-{path.name}") for n in itertools.count(1))
    aside = next(name for name in names if not name.exists())
    try:
        os.link(path, aside)
    except OSError:  # a file system without links
        shutil.copy2(path, aside)
    print(f"{path} was there already: kept as {aside.name}", file=sys.stderr)


def read_results(results: Path | str = "results") -> list[dict[str, Any]]:
    """Every `seed<k>.json` below a folder, in the order of their paths, with that path as `file`.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if one cannot be read or lacks a field.
    """
    paths = sorted(Path(results).glob("**/seed*.json"))
    if not paths:
        raise FileNotFoundError(f"no results/<task>/<algorithm>/seed<k>.json below {results}")
    return [{**read_result(path), "file": path.relative_to(results).as_posix()} for path in paths]


def read_data_returns(results: Path | str = "results") -> dict[str, dict[str, float]]:
    """Read what data earn, from every `results/data/*.json` of sets of trajectories.

    Returns:
        `mean`, `q90` and `best` return of trajectories, by the data's fingerprint.

    Raises:
        ValueError: a file there is no JSON object, or names no numbers.
    """
    found = {}
    for path in sorted((Path(results) / "data").glob("*.json")):
        with parsing(f"{path} says nothing of data", "Write it again, as by lpt-report data."):
            content = json.loads(path.read_text(encoding="utf-8"))
            for own in content.get("sets", content).values():
                if isinstance(own, dict) and {"fingerprint", *DATA_RETURNS} <= set(own):
                    found[own["fingerprint"]] = {name: float(own[name]) for name in DATA_RETURNS}
    return found


def read_result(path: Path) -> dict[str, Any]:
    """Return one result; files of version 0.1 under the present names.

    Raises:
        ValueError: if it cannot be read or lacks a field.
    """
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON ({error}): write it again by lpt-eval") from error
    needed = ("task", "algorithm", "seed", "data", "last")
    if missing := [name for name in needed if record.get(name) is None]:
        raise ValueError(f"{path} lacks {', '.join(missing)}: write it again")
    if "steps" in record:  # of version 0.1
        record["updates"] = record.pop("steps")
    return record
