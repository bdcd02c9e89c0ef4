"""The sections of a report: what is said, shown in a table, drawn, and written as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from lpt.reporting import charts
from lpt.reporting.asked import Asked, Line, lines_of
from lpt.reporting.numbers import (
    asked_numbers,
    curve_numbers,
    file_numbers,
    pair_numbers,
    profile_numbers,
    row_numbers,
)
from lpt.reporting.pairs import Pair, all_pairs, plan_pairs
from lpt.reporting.profiles import profiles_of
from lpt.reporting.results import read_result
from lpt.reporting.rows import Row, domain, names_of
from lpt.reporting.tables import Table, column_of, result_tables, spread


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """One part of a report."""

    name: str
    """Of its files."""
    title: str
    """Heading."""
    note: str
    """What a reader must know, in Markdown without markup."""
    tables: Sequence[Table] = ()
    """Shown on the page and in Markdown."""
    numbers: Sequence[dict[str, Any]] = ()
    """Written as CSV."""
    figure: Figure | None = None
    """Drawn."""


def results_section(rows: Sequence[Row]) -> Section:
    """Return every row: mean over seeds, interval, last and best apart."""
    note = (
        "The last checkpoint is the result; the best one was chosen by test returns and only shows "
        "what that would gain. ± is the standard deviation over seeds. Intervals are of 95 %: "
        "Student's t over three to nine seeds, a hierarchical bootstrap of seeds and episodes from "
        "ten on, none from two, and from one seed a bootstrap of its episodes, marked episodes "
        "only, which says nothing of other seeds. Where seeds share resets, the chance of these "
        "episodes is added. Rows that differ in data, labels, actions, resets, target or updates "
        "are never averaged."
    )
    numbers = [row_numbers(name, row) for name, row in _named(rows)]
    return Section(
        name="results",
        title="Results",
        note=note,
        tables=result_tables(rows),
        numbers=numbers,
    )


def score_sections(rows: Sequence[Row]) -> list[Section]:
    """Return one figure of scores for each domain."""
    families: dict[str, list[Row]] = {}
    for row in rows:
        if column_of(row) is not None:
            families.setdefault(domain(row.task), []).append(row)
    note = (
        "Dots are training seeds, diamonds their mean, bars its 95 % interval: dotted where it "
        "covers the episodes of one seed only, missing where there are two seeds."
    )
    return [
        Section(
            name=f"scores-{family}",
            title=f"Scores: {family}",
            note=note,
            figure=charts.scores_figure(own),
        )
        for family, own in families.items()
    ]


def plan_section(rows: Sequence[Row]) -> Section:
    """Return what plans earn more than the return, a goal or filtered cloning as the prompt."""
    pairs = plan_pairs(rows)
    note = (
        "Differences are paired by training seed and reset; intervals are of 95 %, p is of the "
        "matching two-sided test, adjusted for all pairs of this table (Holm). P(more) is the "
        "probability of improvement (Agarwal et al., 2021): that a seed of the one earns more "
        "than a seed of the other, from three seeds each on. The verdict follows from the "
        "unadjusted interval alone."
    )
    head = ["where", "plan", "baseline", "seeds", "difference", "95 % interval", "p", "p, adjusted"]
    rows_shown = [_pair_cells(pair) for pair in pairs]
    return Section(
        name="plan",
        title="What the plan adds",
        note=note,
        tables=[Table(head=[*head, "P(more)", "verdict"], rows=rows_shown)] if pairs else [],
        numbers=[pair_numbers(pair) for pair in pairs],
        figure=charts.pairs_figure([p for p in pairs if p.mean is not None] or pairs)
        if pairs
        else None,
    )


def pairs_section(rows: Sequence[Row]) -> Section:
    """Return every pair of algorithms, as numbers only."""
    note = (
        "Every pair of algorithms of one task that share data, labels, actions and resets, so that "
        "no comparison is left out; their p are not adjusted. Updates and targets may differ: the "
        "names of the variants say how."
    )
    numbers = [pair_numbers(pair) for pair in all_pairs(rows)]
    return Section(name="pairs", title="All pairs", note=note, numbers=numbers)


def profile_section(rows: Sequence[Row]) -> Section | None:
    """Return performance profiles, None where no two algorithms have a task in common."""
    profiles = profiles_of(rows)
    if not profiles:
        return None
    tasks = {profile.place: profile.tasks for profile in profiles}
    shown = "; ".join(f"{place}: {', '.join(own)}" for place, own in tasks.items())
    note = (
        "The share of runs (training seeds) that score above a level, tasks weighing alike "
        "(Agarwal et al., 2021), in the tasks that all shown algorithms have. In parentheses "
        f"stands the number of seeds; bands need three of each task. Of several rows of one "
        f"algorithm and task the one with most seeds is taken. {shown}."
    )
    numbers = [line for profile in profiles for line in profile_numbers(profile)]
    return Section(
        name="profiles",
        title="Performance profiles",
        note=note,
        numbers=numbers,
        figure=charts.profiles_figure(profiles),
    )


def asked_section(asked: Sequence[Asked]) -> Section | None:
    """Return returns asked for, predicted and earned, None without a sweep."""
    lines = lines_of(asked)
    if not lines:
        return None
    note = (
        "Returns are raw. The fixed target is the one that results are reported for. The best "
        "target was chosen by the very episodes it is shown with, for plans and prompts alike: it "
        "is an upper end, no result. Sweeps have episodes of their own. Lines are means over "
        "seeds (their number in parentheses), dotted lines what plans predict; bands are 95 % "
        "intervals, of episodes only for one seed."
    )
    head = ["task", "algorithm", "seeds", "fixed target", "earned", "95 % interval"]
    head += ["best target", "earned", "95 % interval"]
    return Section(
        name="asked",
        title="Asked, predicted, earned",
        note=note,
        tables=[Table(head=head, rows=[_line_cells(line) for line in lines])],
        numbers=[asked_numbers(one) for one in asked],
        figure=charts.asked_figure(lines),
    )


def curve_section(rows: Sequence[Row]) -> Section | None:
    """Return curves of learning, None where no record has one."""
    named = [(name, row) for name, row in _named(rows) if any(r.get("curve") for r in row.records)]
    if not named:
        return None
    curves: dict[str, list[Row]] = {}
    for name, row in named:
        curves.setdefault(name, []).append(row)
    numbers = [line for name, row in named for line in curve_numbers(name, row)]
    return Section(
        name="curves",
        title="Learning curves",
        note="Evaluations while learning, on other resets than the results.",
        numbers=numbers,
        figure=charts.learning_figure(curves),
    )


def files_section(rows: Sequence[Row], replaced: Sequence[tuple[str, dict[str, Any]]]) -> Section:
    """Return every result file, and those that were replaced by another run of the same seed.

    Args:
        rows: of the report.
        replaced: names and contents of `previous-<n>-seed<k>.json`.
    """
    note = "Every training seed behind the rows, one line a file."
    tables = []
    if replaced:
        note += " Files that a later run of the same seed replaced are kept and not counted:"
        cells = [[file, f"{record['last']['mean']:.2f}"] for file, record in replaced]
        tables = [Table(head=["replaced file", "mean return"], rows=cells)]
    numbers = [file_numbers(name, row, i) for name, row in _named(rows) for i in _places(row)]
    return Section(name="files", title="Result files", note=note, tables=tables, numbers=numbers)


def read_replaced(results: Path) -> list[tuple[str, dict[str, Any]]]:
    """Return names and contents of results that were replaced (`save_result` keeps them)."""
    paths = sorted(results.glob("**/previous-*-seed*.json"))
    return [(path.relative_to(results).as_posix(), read_result(path)) for path in paths]


def _named(rows: Sequence[Row]) -> list[tuple[str, Row]]:
    return list(zip(names_of(rows, columns=("resets",)), rows, strict=True))


def _places(row: Row) -> range:
    return range(len(row.records))


def _pair_cells(pair: Pair) -> list[str]:
    cells = [pair.place, pair.one, pair.two]
    if pair.mean is None:
        return [*cells, "", "", "", "", "", "", pair.verdict]
    improvement = "" if pair.improvement is None else f"{pair.improvement:.2f}"
    low, high = pair.improvement_interval
    if low is not None:
        improvement += f" [{low:.2f}, {high:.2f}]"
    p = ["" if p is None else f"{p:.2g}" for p in (pair.mean.p, pair.p_adjusted)]
    seeds = " ".join(map(str, pair.seeds))
    difference = f"{pair.mean.value:+.{pair.digits}f}"
    interval = pair.mean.interval.text(pair.digits)
    return [*cells, seeds, difference, interval, *p, improvement, pair.verdict]


def _line_cells(line: Line) -> list[str]:
    seeds = next(iter(line.points.values()))
    digits = 3 if max(abs(target) for target in line.points) <= 10 else 0
    cells = [line.task, line.algorithm, str(len(seeds))]
    for target in (line.fixed, line.best):
        if target is None:
            cells += ["", "", ""]
            continue
        mean = line.earned(target)
        values = [one.returns.mean() for one in line.points[target]]
        cells += [f"{target:g}", spread(values, digits), mean.interval.text(digits)]
    return cells
