"""`lpt-bench`: measures how fast this toolkit is here, and runs sweeps of many runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from tqdm import tqdm

from lpt.bench.jobs import Processes, check_data, run_locally, run_on_ray
from lpt.bench.measurements import Amounts
from lpt.bench.records import unfinished
from lpt.bench.speed import measure
from lpt.bench.sweep import read_sweep
from lpt.bench.table import print_speed
from lpt.cli.train import parse
from lpt.data.files import check_absent
from lpt.report import write_json


@dataclass(frozen=True, kw_only=True)
class Speed(Amounts):
    """Measure training, planning, rollouts, loading and memory on random data; nothing is loaded.

    Every other flag is one of lpt-train's and goes on top of the preset, as in --device cuda,
    --algorithm dt or --model.width 256.

    Attributes:
        preset: task whose preset (and environment) is measured.
        against: adapters of other implementations to measure beside this one, in turns: your own
            Python files, WHOSE CODE IS RUN, or the name of a shipped one, decision-transformer (pip
            install 'lpt-toolkit[bench]'). A file defines build(shapes), and of train_step(built,
            batch), plan(built, n), reset(built, n) and act(built, observations) what it can;
            lpt/bench/contenders.py says more.
        out: JSON file to write.
        overwrite: replace it if it is there.
    """

    preset: str = "hopper-medium"
    against: tuple[str, ...] = ()
    out: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """Train and evaluate tasks x algorithms x seeds x overrides, as a YAML file lists them.

    Its keys: tasks (names), algorithms, seeds (lists), settings (lpt-train's flags as a tree, for
    all runs) and overrides (variants by name, each such a tree). scripts/sweep_example.yaml is one.
    All of it is checked before anything starts. Each run has a process of its own, and a record in
    OUT/records; one that fails is recorded there with its error, and the rest goes on. The same
    command again skips what is done and resumes what has a checkpoint.

    Attributes:
        sweep: the YAML file.
        out: folder of runs, records and results; unset: sweeps/NAME OF THE FILE.
        jobs: runs side by side on this machine, each with its training.threads.
        ray: run on a Ray cluster (RAY_ADDRESS; else one is started here) instead (pip install
            'lpt-toolkit[ray]'). OUT must be the same folder on all its machines.
        gpus: with --ray, GPUs that a run takes; 0.5 lets two share one.
    """

    sweep: tyro.conf.Positional[Path]
    out: Path | None = None
    jobs: int = 1
    ray: bool = False
    gpus: float = 0.0


def main(args: Sequence[str] | None = None) -> int:
    """Runs `lpt-bench speed` or `lpt-bench run`; returns the exit code.

    0: all went well; 1: a run of the sweep failed or was stopped; 2: a user's error, with its
    message on stderr; 128 + n: stopped by signal n.
    """
    speed = Annotated[Speed, tyro.conf.subcommand("speed")]
    sweep = Annotated[Sweep, tyro.conf.subcommand("run")]
    command, rest = tyro.cli(
        speed | sweep,
        args=args,
        prog="lpt-bench",
        description=__doc__,
        return_unknown_args=True,
    )
    try:
        if isinstance(command, Speed):
            run_speed(command, rest)
            return 0
        if rest:
            raise ValueError(f"unknown arguments {' '.join(rest)}: see lpt-bench run --help")
        return run_sweep(command)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"lpt-bench: {error}", file=sys.stderr)
        return 2


def run_speed(command: Speed, rest: Sequence[str] = ()) -> dict[str, Any]:
    """Measures, prints the table and writes the file; returns the record.

    Args:
        command: what to measure.
        rest: more flags, of lpt-train.

    Raises:
        FileExistsError: the file is there and `overwrite` is not set.
        ValueError: as `lpt.bench.speed.measure`, or flags that do not belong here.
    """
    if command.out is not None:
        check_absent(command.out, command.overwrite)
    config = parse(["--env", command.preset, *rest])
    if config.resume is not None or config.data != "auto":
        raise ValueError("speed is measured on random data: leave out --resume and --data")
    record = measure(config, command.against, command)
    print_speed(record)
    if command.out is not None:
        print(f"wrote {write_json(record, command.out, command.overwrite)}")
    return record


def run_sweep(command: Sweep) -> int:
    """Runs what is left of a sweep; returns 0, 1 if a run failed, or 128 + a signal's number.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file, the data or the folder are not fit to start; says all that is wrong.
    """
    if command.jobs < 1 or command.gpus < 0:
        raise ValueError(f"--jobs {command.jobs} --gpus {command.gpus}: expected 1 or more, and 0")
    out = (command.out or Path("sweeps") / command.sweep.stem).absolute()
    jobs = read_sweep(command.sweep, out)
    left = unfinished(jobs)
    check_data(left)
    processes, undone = Processes(), 0
    bar = tqdm(total=len(jobs), initial=len(jobs) - len(left), desc="runs", unit="run")
    with bar, processes.stopping_on_signals():
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
    print(f"{len(jobs)} runs, {undone} not done: {out / 'records'}, {out / 'results'}")
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
