"""`lpt-train`: data, training, evaluation of the last checkpoint, results."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version
from lpt.config.command_line import Extend, Resume, parse, parse_for_help
from lpt.config.help import short_help
from lpt.config.settings import Config

if TYPE_CHECKING:
    from lpt.training.run import Run

_HELP, _HELP_ALL = ("--help", "-h"), "--help-all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if show_version("lpt-train", words):
        return 0
    command = _Command(words)
    return ending("lpt-train", command.work, command.stopped)


class _Command:
    """One call of `lpt-train`; `run` is what it has opened."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.run: Run | None = None

    def work(self) -> int:
        """Print help, or train and evaluate; returns the exit code."""
        if any(word in _HELP for word in self.words):
            named = parse_for_help([word for word in self.words if word not in _HELP])
            print(short_help(named))
            return 0
        return self._train(parse(["--help" if word == _HELP_ALL else word for word in self.words]))

    def _train(self, asked: Config | Resume | Extend) -> int:
        """Train and evaluate; returns the exit code: also 3, and 128 + n after signal n."""
        with at_once():
            from lpt.machine.disk import DiskError
            from lpt.machine.processes import ProcessLost
            from lpt.training.signals import Interrupted
        try:
            self.run = _open(asked)
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
        """Return what is left after a signal; within training it is a wish to save instead."""
        if self.run is None or not self._saved():
            return "nothing was begun"
        return f"the training is saved: lpt-train --resume {self.run.folder} evaluates it"

    def _how_to_go_on(self) -> str:
        if self.run is None:
            return "its own message says why"
        saved = self._saved()
        if not saved:
            return "nothing had been saved yet: start again"
        return (
            f"{saved[-1]} is whole: continue with lpt-train --resume {self.run.folder}, in as many "
            "processes as you like"
        )

    def _saved(self) -> list[Path]:
        from lpt.checkpoint.files import list_checkpoints

        return [] if self.run is None else list_checkpoints(self.run.folder)


def _open(asked: Config | Resume | Extend) -> Run:
    with at_once():
        from lpt.training.opening import extend, resume, start

    if isinstance(asked, Config):
        return start(asked)
    places: dict[str, Any] = {
        "source": asked.source,
        "device": asked.device,
        "results": asked.results,
        "env_id": asked.env_id,
    }
    if isinstance(asked, Extend):
        return extend(asked.extend, asked.steps, **places)
    return resume(asked.resume, **places)


if __name__ == "__main__":
    code = main()
    if "torch" not in sys.modules:
        sys.exit(code)
    from lpt.machine.processes import leave

    leave(code)
