"""The table printed after an evaluation."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from lpt.evaluation.rollout import Evaluation
from lpt.reporting.results import evaluation_record


def print_evaluations(
    task: str, rows: dict[str, Evaluation], console: Console | None = None
) -> None:
    """Print evaluations as a table, with the score's reference (0, 100 and the ceiling) below it.

    Args:
        task: the title.
        rows: evaluations by name, such as `last` and `best`.
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
    """`[low, high]` with so many digits."""
    return f"[{ends[0]:.{digits}f}, {ends[1]:.{digits}f}]"
