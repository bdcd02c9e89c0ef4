"""Statistics of returns, result files, and the table printed after an evaluation.

``results/<task>/<algorithm>/seed<k>.json`` holds the raw return of every episode; every table and
figure is made from these files (:mod:`lpt.tables`). The last checkpoint and, apart from it, the
best one are reported: the last is the result, the best is what a selection by test returns would
have given.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import trim_mean

from lpt.data.scores import normalized_score
from lpt.evaluation import Evaluation
from lpt.metadata import PolicyMetadata, current_versions

RESAMPLES = 2000
"""Bootstrap resamples of every interval."""


def iqm(returns: np.ndarray) -> float:
    """Interquartile mean of ``[n]`` values (Agarwal et al., 2021), robust and hardly biased."""
    return float(trim_mean(np.asarray(returns, float), 0.25))


def bootstrap_interval(
    samples: list[np.ndarray] | np.ndarray, statistic: str = "mean", seed: int = 0
) -> tuple[float, float]:
    """95 % percentile bootstrap interval of the mean or the IQM.

    Args:
        samples: ``[n]`` episodes of one run, or a list of several runs' episodes. Runs are drawn
            with replacement and then each one's episodes, so that the interval covers both kinds
            of chance.
        statistic: ``mean`` or ``iqm``, taken in each run and then averaged over runs.
        seed: seed of the resampling.

    Returns:
        Lower and upper end.
    """
    runs = [np.asarray(s, float) for s in ([samples] if np.ndim(samples[0]) == 0 else samples)]
    rng = np.random.default_rng(seed)
    # [runs, resamples]: each run's statistic under resampling of its episodes.
    statistics = np.empty((len(runs), RESAMPLES))
    for i, run in enumerate(runs):
        drawn = run[rng.integers(len(run), size=(RESAMPLES, len(run)))]
        trimmed = statistic == "iqm"
        statistics[i] = trim_mean(drawn, 0.25, axis=1) if trimmed else drawn.mean(axis=1)
    chosen = rng.integers(len(runs), size=(len(runs), RESAMPLES))
    low, high = np.quantile(np.take_along_axis(statistics, chosen, 0).mean(axis=0), (0.025, 0.975))
    return float(low), float(high)


def evaluation_record(evaluation: Evaluation) -> dict[str, Any]:
    """One evaluation as plain JSON types: raw returns, their statistics, and the score.

    Returns:
        ``returns`` and ``lengths`` of every episode; ``mean``, ``std``, ``iqm``, ``ci95`` (of the
        mean) and ``iqm_ci95`` in raw units; ``score``, ``score_ci95``, ``score_iqm`` and
        ``reference`` (which constants, or why there is no score); ``exact`` is False for a score by
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
        "predicted_return": evaluation.predicted_return,
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


def algorithm_name(algorithm: str, weight: float) -> str:
    """``lpt`` planned with a weight above 1 is ``lpt-ei``; other algorithms keep their name."""
    return "lpt-ei" if algorithm == "lpt" and weight > 1 else algorithm


def result_record(
    metadata: PolicyMetadata,
    algorithm: str,
    last: Evaluation,
    best: Evaluation | None = None,
    *,
    wall_seconds: float | None = None,
    best_step: int | None = None,
    sweep: list[Evaluation] | None = None,
) -> dict[str, Any]:
    """The content of a result file.

    Args:
        metadata: of the last checkpoint.
        algorithm: ``lpt``, ``lpt-ei``, ... (:func:`algorithm_name`).
        last: its evaluation.
        best: evaluation of the best checkpoint, reported apart.
        wall_seconds: training time.
        best_step: updates of the best checkpoint.
        sweep: evaluations of the last checkpoint for other targets, all of them.
    """
    origin = metadata.provenance
    return {
        "task": metadata.task,
        "algorithm": algorithm,
        "seed": metadata.seed,
        "data": {
            **portable(origin),
            "source": origin.get("source"),
            "fingerprint": origin.get("fingerprint"),
        },
        "env_id": last.env_id,
        "steps": metadata.step,
        "wall_seconds": wall_seconds,
        "last": {"step": metadata.step, **evaluation_record(last)},
        "best": best and {"step": best_step, **evaluation_record(best)},
        "sweep": [evaluation_record(e) for e in sweep or []],
        "versions": {"training": metadata.versions, "evaluation": current_versions()},
        "config": portable(metadata.config),
    }


def portable(record: dict[str, Any]) -> dict[str, Any]:
    """A nested record whose absolute paths are cut to their names: results are published."""

    def cut(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return portable(value)
        named = key in ("path", "data", "out", "results", "resume") and isinstance(value, str)
        return Path(value).name if named and Path(value).expanduser().is_absolute() else value

    return {key: cut(key, value) for key, value in record.items()}


def write_json(record: dict[str, Any], path: Path | str, overwrite: bool = False) -> Path:
    """Write a JSON file atomically.

    Raises:
        FileExistsError: if the file is there and ``overwrite`` is not set.
    """
    path = Path(path)
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} is there already: move it away, write elsewhere, or ask for overwriting"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
    return path


def save_result(
    results: Path | str,
    metadata: PolicyMetadata,
    algorithm: str,
    last: Evaluation,
    best: Evaluation | None = None,
    **details: Any,
) -> Path:
    """Write ``results/<task>/<algorithm>/seed<k>.json``; see :func:`result_record`.

    A file that is there is kept as ``previous-<n>-seed<k>.json``, with a word on stderr.
    """
    record = result_record(metadata, algorithm, last, best, **details)
    path = Path(results) / metadata.task / algorithm / f"seed{metadata.seed}.json"
    if path.exists():
        numbers = itertools.count(1)
        names = (path.with_name(f"previous-{n}-{path.name}") for n in numbers)
        aside = next(name for name in names if not name.exists())
        path.rename(aside)
        print(f"{path} was there already: kept as {aside.name}", file=sys.stderr)
    return write_json(record, path)


def print_evaluations(
    task: str, rows: dict[str, Evaluation], console: Console | None = None
) -> None:
    """Print evaluations as a table, with the score's reference (0, 100 and the ceiling) below it.

    Args:
        task: the title.
        rows: evaluations by name, such as ``last`` and ``best``.
        console: where to print; unset: stdout.
    """
    records = {name: evaluation_record(evaluation) for name, evaluation in rows.items()}
    console = console or Console()
    if not console.is_terminal:
        console.width = max(console.width, 120)  # a file or a pipe has no width: break no cells
    console.print(_console_table(task, records))


def _console_table(task: str, records: dict[str, dict[str, Any]]) -> Table:
    reference = "\n".join(dict.fromkeys(r["reference"] for r in records.values()))
    table = Table(title=task, caption=reference, caption_justify="left", title_justify="left")
    table.add_column("checkpoint")
    scored = any(r["score"] is not None for r in records.values())
    columns = ["target", "w", "episodes", "return", "95 % interval", "IQM"]
    for name in columns + ["D4RL score", "95 % interval"] * scored:
        table.add_column(name, justify="right")
    for name, record in records.items():
        cells = [f"{record['target']:g}", f"{record['weight']:g}", str(record["episodes"])]
        cells += [f"{record['mean']:.2f} ± {record['std']:.2f}", format_interval(record["ci95"])]
        cells += [f"{record['iqm']:.2f}"]
        if record["score"] is not None:
            mark = "" if record["exact"] else "*"
            cells += [f"{record['score']:.1f}{mark}", format_interval(record["score_ci95"], 1)]
        table.add_row(name, *cells)
    return table


def format_interval(ends: Any, digits: int = 2) -> str:
    """``[low, high]`` with so many digits."""
    return f"[{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"
