"""``lpt-train``: data, training, evaluation of the last checkpoint, results."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

import tyro

from lpt.checkpoint import latest_checkpoint, list_checkpoints
from lpt.config import Config, preset, presets
from lpt.distributed import ProcessLost, leave
from lpt.run import Interrupted, Run, start

DESCRIPTION = """Train a Latent Plan Transformer and evaluate its last checkpoint.

--env NAME takes the task's preset; every field below can be overridden. Known tasks: {tasks}.
Any other NAME is a task of your own: give its --data, and --env-id to evaluate in.
With --resume RUN the run's own settings are used; nothing else needs to be given."""

RESUMED = "(the run's own)"
"""Stands for ``--env`` where a run is resumed: its stored configuration names the task."""

KEPT = ("--data", "--device", "--results")
"""Flags that a resumed run heeds: where things are, not what is learnt."""


def parse(arguments: Sequence[str]) -> Config:
    """The configuration of a command line: the preset of ``--env``, then the user's own flags.

    Raises:
        ValueError: for an unknown task, or settings given beside ``--resume``.
        SystemExit: for ``--help``, unknown flags and values of a wrong type (usage is printed).
    """
    env = _value(arguments, "--env")
    if env is None and _value(arguments, "--resume") is not None:
        env = RESUMED
    description = DESCRIPTION.format(tasks=", ".join(sorted(presets())))
    settings: dict[str, Any] = {"args": list(arguments), "description": description}
    settings["prog"] = "lpt-train"
    if env is None:
        return tyro.cli(Config, **settings)  # --help, or the parser's word that --env is missing
    own = env not in presets() and _value(arguments, "--data") is not None
    default = Config(env=env) if own or env == RESUMED else preset(env)
    config = tyro.cli(Config, default=default, **settings)
    if config.resume is not None:
        changed = sorted(set(_changes(default, config)) - {"--resume", *KEPT})
        if changed:
            raise ValueError(
                f"--resume goes on with the run's own settings: leave out {', '.join(changed)} "
                f"(only {', '.join(KEPT)} may be given anew)"
            )
    return config


def _value(arguments: Sequence[str], flag: str) -> str | None:
    """What the flag is given, the last time as in the parser; None without it."""
    found = None
    for place, argument in enumerate(arguments):
        if argument == flag and place + 1 < len(arguments):
            found = arguments[place + 1]
        elif argument.startswith(f"{flag}="):
            found = argument.partition("=")[2]
    return found


def _changes(default: Any, given: Any, prefix: str = "--") -> list[str]:
    """Flags of the fields in which two configurations differ."""
    flags: list[str] = []
    for field in dataclasses.fields(default):
        flag = prefix + field.name.replace("_", "-")
        old, new = getattr(default, field.name), getattr(given, field.name)
        if dataclasses.is_dataclass(old):
            flags += _changes(old, new, f"{flag}.")
        elif old != new:
            flags.append(flag)
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    run: Run | None = None
    try:
        run = start(parse(sys.argv[1:] if arguments is None else arguments))
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


def _how_to_go_on(run: Run | None) -> str:
    """What to do after a process was lost."""
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
