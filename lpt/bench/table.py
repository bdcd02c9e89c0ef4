"""The table that `lpt-bench speed` prints."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from lpt.bench.contenders import Toolkit
from lpt.bench.profiling import print_profile


def print_speed(record: dict[str, Any], console: Console | None = None) -> None:
    """Print a record of `lpt.bench.speed.measure`: a column for each contender, then ratios."""
    console = console or Console()
    columns = 1 + len(record["contenders"]) + len(record["ratios"])
    if not console.is_terminal:
        console.width = max(console.width, 40 * columns)  # a file has no width: break no cells
    machine, ratios = record["machine"], record["ratios"]
    where = machine["gpu"] or f"{machine['cpu']}, {machine['threads']} thread(s)"
    table = Table(title=f"{record['preset']} on {where}", title_justify="left")
    table.add_column("median [lowest, highest]")
    for name in record["contenders"]:
        table.add_column(name, justify="right")
    for name in ratios:
        table.add_column(f"lpt / {name}", justify="right")
    for key, label, cells in _compared(record):
        times = [ratio[key] for ratio in ratios.values()]
        table.add_row(label, *cells, *("" if t is None else f"{t:.3g}x" for t in times))
    table.add_section()
    for label, cell in _own(record):
        table.add_row(label, cell)
    console.print(table)
    if "profile" in record:
        print_profile(record["profile"], console)
    console.print(f"Counted: {record['counting']}. Load average {machine['load_average']:.1f}.")


def _compared(record: dict[str, Any]) -> list[tuple[str, str, list[str]]]:
    """Key of the ratio, label and cells of each row that contenders share."""
    contenders = list(record["contenders"].values())
    episodes = record["amounts"]["episodes"]

    def cells(part: str, key: str) -> list[str]:
        return [_cell(c[part] and c[part][key]) for c in contenders]

    rows = [("training", "training, transitions/s", cells("training", "transitions_per_second"))]
    for n in contenders[0]["planning_ms"]:
        rows.append((f"planning_{n}", f"planning, {n} plan(s), ms", cells("planning_ms", n)))
    label = f"rollout, {episodes} episodes, steps/s"
    return [*rows, ("rollout", label, cells("rollout", "steps_per_second"))]


def _own(record: dict[str, Any]) -> list[tuple[str, str]]:
    """Label and cell of each row that only this toolkit has."""
    own = record["contenders"][Toolkit.name]
    flops, loading = record["flops"], record["loading"]
    rows = [("update, ms", _cell(own["training"]["update_ms"]))]
    rows += [(f"  {part}", _cell(found)) for part, found in record["split_ms"].items()]
    rollout = own["rollout"]
    rows += [
        (f"rollout step, {p}, ms", _cell(rollout[f"{p}_ms"])) for p in ("policy", "environment")
    ]
    share = f"{100 * flops['roofline_share']:.1f} %"
    peak = flops["matrix_peak"]
    rows += [
        ("training, GFLOP/s", f"{flops['per_second'] / 1e9:.3g}"),
        (f"  of the peak in {peak['precision']}", share),
        ("matrix peak, GFLOP/s", f"{peak['flops']['median'] / 1e9:.3g}"),
        (f"loading {loading['steps']} steps, s", _cell(loading["seconds"])),
    ]
    run = record["run"]
    for part, share in run["shares"].items():
        rows.append((f"a whole run's {part}, s", f"{run['seconds'][part]:,.3g} ({share:.1%})"))
    for part, memory in record["peak_memory"].items():
        cuda = "" if memory["cuda_mib"] is None else f", GPU {memory['cuda_mib']:.0f}"
        rows.append((f"peak memory by {part}, MiB", f"{memory['resident_mib']:.0f}{cuda}"))
    return rows


def _cell(found: dict[str, Any] | None) -> str:
    if found is None:
        return ""
    median, low, high = (_short(found[key]) for key in ("median", "low", "high"))
    return f"{median} [{low}, {high}]"


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
