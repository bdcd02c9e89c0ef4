"""`lpt-train`: data, training, evaluation of the last checkpoint, results.

Help and settings need no PyTorch, whose import would take seconds: what trains is imported once it
is known what to train.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
    try:
        if any(word in _HELP for word in words):
            text = short_help(parse_for_help([word for word in words if word not in _HELP]))
        else:
            asked = parse(["--help" if word == _HELP_ALL else word for word in words])
            return _train(asked)
    except (ValueError, OSError) as error:
        print(f"lpt-train: {error}", file=sys.stderr)
        return 2
    print(text)
    return 0


def _train(asked: Config | Resume | Extend) -> int:
    from lpt.machine.processes import ProcessLost
    from lpt.training.run import Interrupted

    run: Run | None = None
    try:
        run = _open(asked)
        run.train()
        run.finish()
    except ProcessLost as error:
        print(f"lpt-train: {error}; {_how_to_go_on(run)}", file=sys.stderr)
        return 3
    except Interrupted as stop:
        if run is None or run.ranks.first:
            print(f"{stop}\ncontinue with: lpt-train --resume {stop.folder}", file=sys.stderr)
        return 128 + stop.number
    return 0


def _open(asked: Config | Resume | Extend) -> Run:
    from lpt.training.opening import extend, resume, start

    if isinstance(asked, Config):
        return start(asked)
    places: dict[str, Any] = {
        "source": asked.source,
        "device": asked.device,
        "results": asked.results,
    }
    if isinstance(asked, Extend):
        return extend(asked.extend, asked.steps, **places)
    return resume(asked.resume, **places)


def _how_to_go_on(run: Run | None) -> str:
    """Return what to do after a process was lost."""
    from lpt.checkpoint.files import latest_checkpoint, list_checkpoints

    if run is None:
        return "its own message says why"
    if not list_checkpoints(run.folder):
        return "nothing had been saved yet: start again"
    return (
        f"{latest_checkpoint(run.folder)} is whole: continue with --resume {run.folder}, with as "
        "many processes as you like"
    )


if __name__ == "__main__":
    code = main()
    if "torch" not in sys.modules:
        sys.exit(code)
    from lpt.machine.processes import leave

    leave(code)
