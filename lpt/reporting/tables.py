"""Tables made from result files, nothing else, in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from lpt.data.scores import find_reference
from lpt.reporting.results import DATA_RETURNS, DISPLAY_NAMES
from lpt.reporting.rows import Conditions, Row, names_of, rows_of, split_name
from lpt.reporting.statistics import iqm

UNITS = {
    "exact": "D4RL score",
    "near": "score by D4RL's constants*, NOT D4RL's metric",
    "raw": "return",
}
"""What a table's numbers are."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells to look at."""

    head: Sequence[str]
    """Titles of the columns."""
    rows: Sequence[Sequence[str]]
    """Cells."""

    def markdown(self) -> str:
        """Return it in Markdown."""
        lines = [f"| {' | '.join(self.head)} |", "|---" * len(self.head) + "|"]
        return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in self.rows)])

    def html(self) -> str:
        """Return it in HTML."""
        head = "".join(f"<th>{escape(cell)}</th>" for cell in self.head)
        rows = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in self.rows)
        body = "\n".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def markdown_table(records: list[dict[str, Any]]) -> str:
    """Return the results tables in Markdown, see `result_tables`."""
    return "\n\n".join(table.markdown() for table in result_tables(rows_of(records))) + "\n"


def result_tables(rows: Sequence[Row]) -> list[Table]:
    """Return the results tables: mean over seeds, its interval, and the best checkpoint apart.

    One table for D4RL's scores, one for scores by D4RL's constants in other environments (which
    are not D4RL's metric), one for raw returns. `±` is the standard deviation over seeds; what an
    interval covers depends on their number (`lpt.reporting.intervals.mean_of`).
    """
    names = names_of(rows, columns=("resets",))
    tables = []
    for kind in UNITS:
        found = [(name, row) for name, row in zip(names, rows, strict=True) if row.kind == kind]
        if found:
            cells = [_cells(name, row) for name, row in found]
            tables.append(Table(head=_head(kind), rows=cells))
    return tables


def _head(kind: str) -> list[str]:
    columns = ["task", "algorithm", "updates", "target, w", "seeds x episodes"]
    columns += [f"{UNITS[kind]}, last", "95 % interval", "IQM", "best checkpoint"]
    columns += [*(["ceiling"] * (kind == "exact")), "data", "labels", "resets"]
    return [*columns, "minutes", "commit", "remarks"]


def _cells(name: str, row: Row) -> list[str]:
    runs, digits = row.runs, digits_of(row)
    episodes = sorted({len(run.values) for run in runs})
    cells = [
        name,
        row.algorithm,
        str(row.updates or ""),
        f"{row.target:g}, {row.weight:g}",
        f"{len(runs)} x {'/'.join(map(str, episodes))}",
        spread(row.means, digits),
        row.mean.interval.text(digits),
        f"{np.mean([iqm(run.values) for run in runs]):.{digits}f}",
        spread([run.values.mean() for run in row.best], digits) if row.best else "",
    ]
    if row.kind == "exact":
        reference = row.reference
        ceiling = None if reference is None else reference.ceiling
        cells.append("" if ceiling is None else f"{reference.score(ceiling):.0f}")  # type: ignore[union-attr]
    conditions = row.conditions
    cells += [conditions.source, conditions.labels, conditions.resets, _minutes(row)]
    return [*cells, ", ".join(row.commits), "; ".join(row.remarks)]


def _minutes(row: Row) -> str:
    """Return how long a seed learned, with the precision that it was timed in."""
    seconds = [record["wall_seconds"] for record in row.records if record.get("wall_seconds")]
    if not seconds:
        return ""
    return f"{np.mean(seconds) / 60:.1f} ({', '.join(row.precisions)})"


def spread(means: Any, digits: int) -> str:
    """Return the mean, and with two or more values ± their standard deviation."""
    deviation = f" ± {np.std(means, ddof=1):.{digits}f}" if len(means) > 1 else ""
    return f"{np.mean(means):.{digits}f}{deviation}"


def summary_table(
    records: list[dict[str, Any]], data_returns: dict[str, dict[str, float]] | None = None
) -> str:
    """One row a task, one column an algorithm: mean of the last checkpoint over seeds and episodes.

    Scores where D4RL's reference holds, with `*` where only its constants are used, raw returns
    elsewhere; `±` is the standard deviation over seeds, in parentheses their number. Algorithms
    stand in one row only under the same conditions. Variants with a label are left out, and an
    algorithm without results has no column.

    Args:
        records: of `read_results`.
        data_returns: of `read_data_returns`, for a last column, which is left empty where the
            results are of other data.
    """
    rows = [row for row in rows_of(records) if column_of(row) is not None]
    lines: dict[tuple[str, Conditions, int], dict[str, tuple[str, Row]]] = {}
    for name, row in zip(names_of(rows), rows, strict=True):
        place, column = 0, column_of(row) or ""
        while column in lines.get((row.task, row.conditions, place), {}):
            place += 1  # the same algorithm with other settings
        lines.setdefault((row.task, row.conditions, place), {})[column] = (name, row)
    data = data_returns or {}
    shown = [name for name in DISPLAY_NAMES if any(name in line for line in lines.values())]
    head = ["task", *(DISPLAY_NAMES[name] for name in shown)]
    head += ["data: mean / 90 % / best"] * bool(data)
    table = []
    for (_, _, place), line in lines.items():
        name, first = next(iter(line.values()))
        if place:
            name += f", {first.updates} updates, target {first.target:g}, w = {first.weight:g}"
        cells = [name, *(_summary_cell(line[c][1]) if c in line else "" for c in shown)]
        table.append([*cells, *[_data_cell(first, data)] * bool(data)])
    return Table(head=head, rows=table).markdown() + "\n"


def column_of(row: Row) -> str | None:
    """Return the column of a row in a summary, None for a variant.

    A variant that is named for its labels, such as `lpt-recorded`, is none.
    """
    name, variant = split_name(row.algorithm)
    return name if name in DISPLAY_NAMES and variant in ("", row.conditions.labels) else None


def _summary_cell(row: Row) -> str:
    mark = "*" * (row.kind == "near")
    count = f" ({len(row.records)})" if len(row.records) > 1 else ""
    return spread(row.means, digits_of(row)) + mark + count


def _data_cell(row: Row, data: dict[str, dict[str, float]]) -> str:
    returns = data.get(row.records[0]["data"]["fingerprint"])
    reference = find_reference(row.task)
    if returns is None or row.kind == "near":
        return ""
    values = np.array([returns[name] for name in DATA_RETURNS])
    if row.kind == "exact" and reference is not None:
        values = reference.score(values)
    return " / ".join(f"{value:.1f}" for value in values)


def digits_of(row: Row) -> int:
    """Return how many digits a row's numbers are shown with."""
    largest = max(np.abs(run.values).max() for run in row.runs)
    return 1 if row.kind != "raw" or largest > 10 else 3
