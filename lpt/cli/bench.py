"""`lpt-bench speed`: measure how fast this toolkit is on this machine."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from lpt.bench.amounts import Amounts
from lpt.cli import sweep
from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version
from lpt.config.command_line import parse_config
from lpt.machine.disk import check_writable
from lpt.machine.files import check_absent, write_json


@dataclass(frozen=True, kw_only=True)
class Speed(Amounts):
    """Measure training, planning, rollouts, loading and memory on random data; nothing is loaded.

    Every other flag is one of lpt-train's and goes on top of the preset, as in --device cuda,
    --algorithm dt or --model.width 256.
    """

    preset: str = "hopper-medium"
    """Task whose preset (and environment) is measured."""
    against: tuple[str, ...] = ()
    """Adapters of other implementations to measure beside this one, in turns: your own Python
    files, WHOSE CODE IS RUN, or the name of a shipped one, decision-transformer (pip install
    'lpt-toolkit[bench]'). A file defines build(shapes), and of train_step(built, batch),
    plan(built, n), reset(built, n) and act(built, observations) what it can;
    lpt/bench/contenders.py says more."""
    profile: bool = False
    """Also print what takes an update's time, by part and by kernel, the longest first."""
    out: Path | None = None
    """JSON file to write."""
    overwrite: bool = False
    """Replace it if it is there."""


def main(args: Sequence[str] | None = None) -> int:
    """Run `lpt-bench speed`; returns the exit code, 2 for a user's error."""
    arguments = list(sys.argv[1:] if args is None else args)
    if show_version("lpt-bench", arguments):
        return 0
    if arguments[:1] == ["run"]:
        print("lpt-bench: lpt-bench run is lpt-sweep now (this name goes in 0.3)", file=sys.stderr)
        return sweep.main(arguments[1:])
    if arguments[:1] == ["speed"]:
        arguments = arguments[1:]
    command, rest = tyro.cli(
        Speed, args=arguments, prog="lpt-bench speed", return_unknown_args=True
    )
    return ending("lpt-bench", lambda: run_speed(command, rest))


def run_speed(command: Speed, rest: Sequence[str] = ()) -> dict[str, Any]:
    """Measure, prints the table and writes the file; returns the record.

    Args:
        command: what to measure.
        rest: more flags, of lpt-train.

    Raises:
        FileExistsError: the file is there and `overwrite` is not set.
        ValueError: as `lpt.bench.speed.measure`, or flags that do not belong here.
    """
    if command.out is not None:
        check_absent(command.out, command.overwrite)
        check_writable(command.out)
    config = parse_config(["--env", command.preset, *rest])
    if config.source != "auto":
        raise ValueError("speed is measured on random data: leave out --source")
    with at_once():
        from lpt.bench.speed import measure
        from lpt.bench.table import print_speed

    record = measure(config, command.against, command, profiled=command.profile)
    print_speed(record)
    if command.out is not None:
        print(f"wrote {write_json(record, command.out, overwrite=command.overwrite)}")
    return record


if __name__ == "__main__":
    sys.exit(main())
