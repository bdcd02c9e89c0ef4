"""`lpt-report`: tables and figures made from result files and run folders, nothing else.

`lpt-report all results --out docs/results` makes all that result files can say.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import tyro

from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version
from lpt.machine.disk import check_writable
from lpt.machine.files import write_json, write_text

BEGIN, END = "<!-- results: made by lpt-report table -->", "<!-- end of results -->"


def everything(
    results: tyro.conf.Positional[Path] = Path("results"),
    *,
    out: Path,
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False,
) -> None:
    """Write tables, figures and one page of everything that result files say, from them alone.

    Args:
        results: folder of <task>/<algorithm>/seed<k>.json, and of sweeps beside them.
        out: folder to write: report.html, tables.md, CSV, PNG and SVG.
        overwrite: replace the folder as a whole, if it is a report's.
    """
    with at_once():
        from lpt.reporting.report import write_report

    check_writable(out, folder=True)
    print(f"wrote {write_report(results, out, overwrite=overwrite)}")


def table(
    results: Path = Path("results"),
    into: Path | None = None,
    summary: bool = False,
    only: tuple[str, ...] = (),
) -> None:
    """Write a Markdown table of every results/**/seed*.json.

    Args:
        results: folder of result files, and of data/*.json with what data earn.
        into: file whose part between the result markers is replaced; unset: print.
        summary: one row a task, with the data's own returns, instead of one row an algorithm.
        only: beginnings of tasks' names, such as hopper; unset: all tasks.
    """
    with at_once():
        from lpt.reporting.results import read_data_returns, read_results
        from lpt.reporting.tables import markdown_table, summary_table

    if into is not None:
        check_writable(into)
    records = [r for r in read_results(results) if r["task"].startswith(only or "")]
    text = markdown_table(records)
    if summary:
        text = summary_table(records, read_data_returns(results))
    if into is None:
        print(text)
        return
    before, begin, rest = into.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{into} lacks the markers {BEGIN!r} and {END!r}: put them in")
    write_text(f"{before}{BEGIN}\n{text}{END}{after}", into, overwrite=True)


def data(
    out: tyro.conf.Positional[Path],
    tasks: Annotated[tuple[str, ...], tyro.conf.Positional],
    source: str = "regenerated",
) -> None:
    """Write what the trajectories of tasks' data earn, each counted once.

    Args:
        out: JSON file to write.
        tasks: such as hopper-medium.
        source: as lpt-train's --source.
    """
    with at_once():
        import numpy as np

        from lpt.data import load

    check_writable(out)
    found = {}
    for task in tasks:
        dataset = load(task, source=source)
        found[task] = {
            "source": dataset.provenance.source,
            "fingerprint": dataset.provenance.fingerprint,
            "trajectories": len(dataset),
            "steps": dataset.num_steps,
            "mean": dataset.return_mean,
            "q90": float(np.quantile(dataset.returns, 0.9)),
            "best": float(dataset.returns.max()),
        }
    print(write_json(found, out, overwrite=True))


def curves(
    out: tyro.conf.Positional[Path],
    runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
    title: str | None = None,
) -> None:
    """Draw score against updates of the runs of one task, with the practical ceiling.

    Args:
        out: figure to write.
        runs: run folders.
        title: title; unset: the task.
    """
    with at_once():
        from lpt.checkpoint.files import load_policy_files
        from lpt.data.scores import find_reference
        from lpt.reporting.figures import curves_figure, save_figure

    check_writable(out)
    task = load_policy_files(runs[0])[1].task
    reference = find_reference(task)
    lines = {}
    if reference is not None and reference.ceiling is not None:
        lines["practical ceiling"] = float(reference.score(reference.ceiling))
    names: dict[str, Path | str] = {run.name: run for run in runs}
    if len(names) < len(runs):
        names = {str(run): run for run in runs}
    print(save_figure(curves_figure(names, lines, title or task), out))


def sweeps(
    out: tyro.conf.Positional[Path],
    files: Annotated[tuple[Path, ...], tyro.conf.Positional],
    title: str | None = None,
) -> None:
    """Draw return earned against return asked for, one line a file, with 95 % intervals.

    Args:
        out: figure to write.
        files: written by lpt-eval --sweep --out.
        title: title; unset: the task.
    """
    with at_once():
        from lpt.reporting.figures import save_figure, sweeps_figure

    check_writable(out)
    records = [json.loads(path.read_text(encoding="utf-8")) for path in files]
    if missing := [str(p) for p, r in zip(files, records, strict=True) if not r.get("sweep")]:
        raise ValueError(f"no sweep in {', '.join(missing)}: write them by lpt-eval --sweep --out")
    print(save_figure(sweeps_figure(records, title), out))


def plan_space(
    out: tyro.conf.Positional[Path],
    run: tyro.conf.Positional[Path],
    targets: tuple[float, ...] = (),
    per_target: int = 12,
    seed: int = 1000,
    weight: float | None = None,
) -> None:
    """Draw sampled plans for rising targets beside their trajectories from one start.

    Args:
        out: figure to write.
        run: run or checkpoint folder.
        targets: raw returns; unset: six from the data's median to the policy's target.
        per_target: plans drawn for each target.
        seed: of planning and of the start.
        weight: planning weight; unset: the run's.
    """
    with at_once():
        import numpy as np

        from lpt.evaluation import LPTPolicy
        from lpt.reporting.figures import save_figure
        from lpt.reporting.plan_space import plan_space_figure

    check_writable(out)
    policy = LPTPolicy.load(run)
    # Single draws, not the one best plan or a mean, so that each target's spread shows.
    policy.planning = replace(policy.planning, sample=True, draws=1)
    if not targets:
        targets = tuple(np.linspace(policy.metadata.return_quantiles.median, policy.target, 6))
    figure = plan_space_figure(
        policy, list(targets), per_target=per_target, seed=seed, weight=weight
    )
    print(save_figure(figure, out))


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    if show_version("lpt-report", sys.argv[1:] if arguments is None else arguments):
        return 0
    return ending("lpt-report", lambda: _run(arguments))


def _run(arguments: list[str] | None) -> None:
    tyro.extras.subcommand_cli_from_dict(
        {
            "all": everything,
            "table": table,
            "data": data,
            "curves": curves,
            "sweeps": sweeps,
            "plan-space": plan_space,
        },
        args=arguments,
        description=__doc__,
        prog="lpt-report",
    )


if __name__ == "__main__":
    sys.exit(main())
