"""`lpt-train`: data, training, evaluation of the last checkpoint, results."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lpt.checkpoint.files import latest_checkpoint, list_checkpoints
from lpt.config.command_line import Resume, parse
from lpt.machine.processes import ProcessLost, leave
from lpt.training.opening import resume, start
from lpt.training.run import Interrupted, Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    run: Run | None = None
    try:
        run = _open(sys.argv[1:] if arguments is None else arguments)
        run.train()
        run.finish()
    except ProcessLost as error:
        print(f"lpt-train: {error}; {_how_to_go_on(run)}", file=sys.stderr)
        return 3
    except Interrupted as stop:
        if run is None or run.ranks.first:
            print(f"{stop}\ncontinue with: lpt-train --resume {stop.folder}", file=sys.stderr)
        return 128 + stop.number
    except (ValueError, OSError) as error:
        print(f"lpt-train: {error}", file=sys.stderr)
        return 2
    return 0


def _open(arguments: Sequence[str]) -> Run:
    asked = parse(arguments)
    if not isinstance(asked, Resume):
        return start(asked)
    return resume(
        asked.resume,
        source=asked.source,
        device=asked.device,
        results=asked.results,
        env_id=asked.env_id,
    )


def _how_to_go_on(run: Run | None) -> str:
    """Return what to do after a process was lost."""
    if run is None:
        return "its own message says why"
    if not list_checkpoints(run.folder):
        return "nothing had been saved yet: start again"
    return (
        f"{latest_checkpoint(run.folder)} is whole: continue with --resume {run.folder}, with as "
        "many processes as you like"
    )


if __name__ == "__main__":
    leave(main())
