"""`lpt-info`: what is installed and where things lie, or what a run is and how it went."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version
from lpt.machine.untrusted import short


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Print versions, devices and folders; or of a run what it is, how it went, what is next."""

    run: tyro.conf.Positional[Path | None] = None
    """Run folder, a checkpoint inside it, pretrained:NAME or hf:USER/NAME."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code: 0, or 2 with one line on stderr for a user's error."""
    if show_version("lpt-info", sys.argv[1:] if arguments is None else arguments):
        return 0
    options = tyro.cli(Arguments, args=arguments, prog="lpt-info")
    return ending("lpt-info", lambda: _print(options.run))


def _print(run: Path | None) -> None:
    with at_once():
        from lpt.cli.info_reports import machine_report, run_report

    parts = machine_report() if run is None else run_report(run)
    width = max(map(len, parts))
    print("\n".join(f"{name:<{width}}  {short(text, 1000)}" for name, text in parts.items()))


if __name__ == "__main__":
    sys.exit(main())
