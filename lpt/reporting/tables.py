"""Markdown tables made from result files, nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from lpt.data.scores import find_reference, normalized_score
from lpt.reporting.console import format_interval
from lpt.reporting.results import DISPLAY_NAMES
from lpt.reporting.statistics import bootstrap_interval, iqm

UNITS = {
    "exact": "D4RL score",
    "near": "score by D4RL's constants*, NOT D4RL's metric",
    "raw": "return",
}
"""What a table's numbers are."""


def markdown_table(records: list[dict[str, Any]]) -> str:
    """Return the results tables: mean over seeds, its interval, and the best checkpoint apart.

    One table for D4RL's scores, one for scores by D4RL's constants in other environments (which
    are not D4RL's metric), one for raw returns. `±` is the standard deviation over seeds; the
    interval bootstraps seeds and episodes.
    """
    tables = []
    for kind in UNITS:
        found = (
            _markdown_row(*key, group)
            for key, group in _grouped(records).items()
            if _kind(group) == kind
        )
        if rows := list(found):
            tables.append("\n".join((*_markdown_head(kind), *rows)))
    return "\n\n".join(tables) + "\n"


def _grouped(records: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Run that belong in one row: a task in one environment, data of one source, one algorithm.

    The task's name says which, where it would not be clear.
    """
    environments: dict[str, set[str | None]] = {}
    sources: dict[str, set[str]] = {}
    for record in records:
        environments.setdefault(record["task"], set()).add(record["last"].get("env_id"))
        sources.setdefault(record["task"], set()).add(_source(record))
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        task, kind = record["task"], _kind([record])
        name = task
        if kind == "near" or (kind == "raw" and len(environments[task]) > 1):
            name += f" in {record['last']['env_id']}"
        if len(sources[task]) > 1:
            name += f" ({_source(record)} data)"
        groups.setdefault((name, record["algorithm"]), []).append(record)
    return groups


def _source(record: dict[str, Any]) -> str:
    return str(record["data"].get("source"))


def _kind(group: list[dict[str, Any]]) -> str:
    """`exact`: D4RL's metric; `near`: its constants in a successor environment; `raw`."""
    scored = [normalized_score(r["task"], [0.0], r["last"].get("env_id")) for r in group]
    if any(score.scores is None for score in scored):
        return "raw"
    return "exact" if all(score.exact for score in scored) else "near"


def _markdown_head(kind: str) -> tuple[str, str]:
    columns = ["task", "algorithm", "updates", "target, w", "seeds x episodes"]
    columns += [f"{UNITS[kind]}, last", "95 % interval", "IQM", "best checkpoint"]
    columns += [*(["ceiling"] * (kind == "exact")), "data"]
    return f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"


def _markdown_row(task: str, algorithm: str, group: list[dict[str, Any]]) -> str:
    last = [record["last"] for record in group]
    kind = _kind(group)
    runs = [_values(group, record) for record in last]
    digits = _digits(kind, runs)
    best = [_values(group, r["best"]).mean() for r in group if r.get("best")]
    episodes = sorted({len(run) for run in runs})
    updates = sorted({int(record.get("updates", 0)) for record in group})
    asked = sorted({f"{r['target']:g}, {r['weight']:g}" for r in last})
    cells = [
        task,
        algorithm,
        "/".join(f"{count}" for count in updates if count),
        "; ".join(asked),
        f"{len(runs)} x {'/'.join(map(str, episodes))}",
        _spread([run.mean() for run in runs], digits),
        format_interval(bootstrap_interval(runs), digits),
        f"{np.mean([iqm(run) for run in runs]):.{digits}f}",
        _spread(best, digits) if best else "",
    ]
    if kind == "exact":
        reference = find_reference(group[0]["task"])
        ceiling = None if reference is None else reference.ceiling
        cells.append("" if ceiling is None else f"{reference.score(ceiling):.0f}")  # type: ignore[union-attr]
    cells.append(_source(group[0]))
    return f"| {' | '.join(cells)} |"


def _spread(means: list[Any], digits: int) -> str:
    spread = f" ± {np.std(means, ddof=1):.{digits}f}" if len(means) > 1 else ""
    return f"{np.mean(means):.{digits}f}{spread}"


def summary_table(
    records: list[dict[str, Any]], data_returns: dict[str, dict[str, Any]] | None = None
) -> str:
    """One row a task, one column an algorithm: mean of the last checkpoint over seeds and episodes.

    Scores where D4RL's reference holds, with `*` where only its constants are used, raw returns
    elsewhere; `±` is the standard deviation over seeds, in parentheses their number. Variants
    with a label are left out, and an algorithm without results has no column.

    Args:
        records: of `read_results`.
        data_returns: raw `mean`, `p90` and `best` return of tasks' data and their
            `source`, for a last column, which is left empty beside results on other data.
    """
    tasks: dict[str, dict[str, list[dict[str, Any]]]] = {}
    for (task, algorithm), group in _grouped(records).items():
        if algorithm in DISPLAY_NAMES:
            tasks.setdefault(task, {})[algorithm] = group
    data = data_returns or {}
    shown = [name for name in DISPLAY_NAMES if any(name in found for found in tasks.values())]
    titles = [DISPLAY_NAMES[name] for name in shown]
    head = ["task", *titles, *["data: mean / 90 % / best"] * bool(data)]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for task, algorithms in tasks.items():
        cells = [_summary_cell(algorithms.get(name, [])) for name in shown]
        if data:
            record = next(iter(algorithms.values()))[0]
            cells.append(_data_cell(record, data.get(record["task"])))
        lines.append(f"| {' | '.join([task, *cells])} |")
    return "\n".join(lines) + "\n"


def _summary_cell(group: list[dict[str, Any]]) -> str:
    if not group:
        return ""
    kind = _kind(group)
    runs = [_values(group, record["last"]) for record in group]
    count = f" ({len(runs)})" if len(runs) > 1 else ""
    return (
        _spread([run.mean() for run in runs], _digits(kind, runs)) + "*" * (kind == "near") + count
    )


def _data_cell(record: dict[str, Any], returns: dict[str, Any] | None) -> str:
    reference = find_reference(record["task"])
    if returns is None or reference is None or _kind([record]) != "exact":
        return ""
    if returns["source"] != _source(record):
        return ""
    scores = (float(reference.score(returns[name])) for name in ("mean", "p90", "best"))
    return " / ".join(f"{score:.1f}" for score in scores)


def _values(group: list[dict[str, Any]], evaluation: dict[str, Any]) -> np.ndarray:
    """Scores of an evaluation's episodes, or raw returns where there is no score for the group."""
    returns = np.asarray(evaluation["returns"], float)
    reference = None if _kind(group) == "raw" else find_reference(group[0]["task"])
    return returns if reference is None else reference.score(returns)


def _digits(kind: str, runs: list[np.ndarray]) -> int:
    return 1 if kind != "raw" or max(np.abs(run).max() for run in runs) > 10 else 3
