"""`lpt-sweep`: train and evaluate tasks x algorithms x seeds x variants, and go on where it was."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from tqdm import tqdm

from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version
from lpt.machine.disk import writing
from lpt.machine.locks import FolderLock


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Train and evaluate tasks x algorithms x seeds x overrides, as a YAML file lists them.

    Its keys: tasks (names), algorithms, seeds (lists), settings (lpt-train's as a tree, for all
    runs) and overrides (variants by name, each such a tree); scripts/sweep_example.yaml is one.
    All of it is checked before anything starts. Each run has a process of its own, and a record in
    OUT/records; one that fails is recorded there with its error, and the rest goes on. The same
    command again skips what is done and resumes what has a checkpoint.
    """

    sweep: tyro.conf.Positional[Path]
    """The YAML file."""
    out: Path | None = None
    """Folder of runs, records and results; unset: sweeps/NAME OF THE FILE."""
    jobs: int = 1
    """Runs side by side on this machine, each with its training.threads."""
    ray: bool = False
    """Run on a Ray cluster (RAY_ADDRESS; else one is started here) instead (pip install
    'lpt-toolkit[ray]'). OUT must be the same folder on all its machines."""
    gpus: float = 0.0
    """With --ray, GPUs that a run takes; 0.5 lets two share one."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code.

    0: all went well; 1: a run of the sweep failed; 2: a user's error, with its message on stderr;
    128 + n: stopped by signal n.
    """
    if show_version("lpt-sweep", sys.argv[1:] if arguments is None else arguments):
        return 0
    command = tyro.cli(Arguments, args=arguments, prog="lpt-sweep")
    return ending("lpt-sweep", lambda: run_sweep(command), lambda: "the same command goes on")


def run_sweep(command: Arguments) -> int:
    """Run what is left of a sweep; returns 0, 1 if a run failed, or 128 + a signal's number.

    Raises:
        FileNotFoundError: there is no such file.
        BlockingIOError: another process runs this sweep.
        ValueError: the file, the data or the folder are not fit to start; says all that is wrong.
    """
    if command.jobs < 1 or command.gpus < 0:
        raise ValueError(f"--jobs {command.jobs} --gpus {command.gpus}: expected 1 or more, and 0")
    with at_once():
        from lpt.sweep.records import unfinished
        from lpt.sweep.runner import Processes, check_data, run_locally, run_on_ray
        from lpt.sweep.trials import read_sweep

    out = (command.out or Path("sweeps") / command.sweep.stem).absolute()
    trials = read_sweep(command.sweep, out)
    left = unfinished(trials)
    check_data(left)
    with writing(out):
        alone = FolderLock(out)
    processes, undone = Processes(), 0
    bar = tqdm(total=len(trials), initial=len(trials) - len(left), desc="runs", unit="run")
    with alone, bar, processes.stopping_on_signals():
        if command.ray:
            records = run_on_ray(left, command.gpus, processes)
        else:
            records = run_locally(left, command.jobs, processes)
        for record in records:
            undone += record["status"] != "done"
            bar.update(record["status"] == "done")
            bar.set_postfix(not_done=undone, last=record["run"])
            if record["status"] != "done":
                bar.write(_word(record), file=sys.stderr)
    print(f"{len(trials)} runs, {undone} not done: {out / 'records'}, {out / 'results'}")
    if processes.stopped_by is not None:
        print("stopped: the same command goes on", file=sys.stderr)
        return 128 + processes.stopped_by
    return 1 if undone else 0


def _word(record: dict[str, Any]) -> str:
    """One line on a run that did not end well."""
    lines = (record["error"] or "").splitlines()
    return f"{record['run']} {record['status']}: {lines[-1] if lines else 'resumed next time'}"


if __name__ == "__main__":
    sys.exit(main())
