"""`lpt-train`: data, training, evaluation of the last checkpoint, results."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lpt.checkpoint.files import list_checkpoints
from lpt.cli.ending import ending
from lpt.config.command_line import Resume, parse
from lpt.machine.disk import DiskError
from lpt.machine.processes import ProcessLost, leave
from lpt.training.opening import resume, start
from lpt.training.run import Interrupted, Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    command = _Command(sys.argv[1:] if arguments is None else arguments)
    return ending("lpt-train", command.work, command.stopped)


class _Command:
    """One call of `lpt-train`; `run` is what it has opened."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.arguments = arguments
        self.run: Run | None = None

    def work(self) -> int:
        """Train and evaluate; returns the exit code: also 3, and 128 + n after signal n."""
        try:
            self.run = _open(self.arguments)
            self.run.train()
            self.run.finish()
        except ProcessLost as error:
            print(f"lpt-train: {error}; {self._how_to_go_on()}", file=sys.stderr)
            return 3
        except DiskError as error:
            if self.run is None:
                raise
            raise DiskError(f"{error}; {self._how_to_go_on()}") from error
        except Interrupted as stop:
            if self.run is None or self.run.ranks.first:
                print(f"{stop}; continue with: lpt-train --resume {stop.folder}", file=sys.stderr)
            return 128 + stop.number
        return 0

    def stopped(self) -> str:
        """Return what is left after Ctrl-C; within training it is a wish to save instead."""
        if self.run is None or not list_checkpoints(self.run.folder):
            return "nothing was begun"
        return f"the training is saved: lpt-train --resume {self.run.folder} evaluates it"

    def _how_to_go_on(self) -> str:
        if self.run is None:
            return "its own message says why"
        saved = list_checkpoints(self.run.folder)
        if not saved:
            return "nothing had been saved yet: start again"
        return (
            f"{saved[-1]} is whole: continue with lpt-train --resume {self.run.folder}, in as many "
            "processes as you like"
        )


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


if __name__ == "__main__":
    leave(main())
