"""The flags of `lpt-train`: a preset or a stored configuration, and the user's own on top."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeVar

import tyro

from lpt.config.flags import parse_flags
from lpt.config.presets import preset_names, starting_point
from lpt.config.settings import Config
from lpt.config.training import Device
from lpt.config.tree import ENGINES_OF_0_1, read_config
from lpt.config.trust import check_environment

DESCRIPTION = """Train a Latent Plan Transformer and evaluate its last checkpoint.

--env NAME (or --task NAME) takes the task's preset; every field below can be overridden.
Any NAME without a preset is a task of your own: give its --source, and --env-id to evaluate in.
--preset NAME takes other settings to begin with than the task's: {presets}.
--config FILE.yaml takes a stored configuration, such as a run's config.yaml, instead of a preset.
With --resume RUN the run's own settings are used; nothing else needs to be given.
--extend RUN --steps N goes on with a run for N updates more than it was made for."""

RENAMED = {"--data": "--source", "--inference": "--engine", "--steps": "--updates"}
"""Flags of version 0.1, by their present names; they go in version 0.3."""
_TASK = ("--task", "--env")
Going = TypeVar("Going", bound="Places")


@dataclass(frozen=True, kw_only=True)
class Places:
    """What a run that goes on heeds: where things are, not what is learned."""

    source: str | None = None
    """Where the run's data are now; unset: where they were."""
    device: Device = "auto"
    """Where to compute; auto: as before."""
    results: Path | None = None
    """Folder for the result files; unset: results/ in the run folder."""
    env_id: str | None = None
    """Gymnasium id to evaluate in; unset: the run's own, if its package is known."""


@dataclass(frozen=True, kw_only=True)
class Resume(Places):
    """`lpt-train --resume RUN`."""

    resume: Path
    """Run folder to continue from its last checkpoint, with its own settings."""


@dataclass(frozen=True, kw_only=True)
class Extend(Places):
    """`lpt-train --extend RUN --steps N`."""

    extend: Path
    """Run folder to continue from its last checkpoint, for longer than it was made for."""
    steps: Annotated[int, tyro.conf.arg(aliases=["--updates"])]
    """Updates more than the run was made for."""


def parse(arguments: Sequence[str]) -> Config | Resume | Extend:
    """Return what a command line of `lpt-train` asks for.

    Raises:
        FileNotFoundError: if `--config` names no file.
        ValueError: for an unknown task, settings that cannot be, or that are given beside
            `--resume` or `--extend`.
        SystemExit: for `--help`, unknown flags and values of a wrong type (usage is printed).
    """
    if _is_given(arguments, "--extend", "a run's folder, as in --extend runs/mine --steps 1000"):
        return _parse_places(Extend, "--extend", list(arguments))
    arguments = _with_present_names(arguments)
    if _is_given(arguments, "--resume", "a run's folder, as in --resume runs/mine"):
        return _parse_places(Resume, "--resume", arguments)
    return parse_config(arguments)


def parse_config(arguments: Sequence[str]) -> Config:
    """Return the configuration of a command line that starts a run; raises as `parse`."""
    arguments = _with_present_names(arguments)
    _is_given(arguments, "--config", "a YAML file, as in --config runs/mine/config.yaml")
    stored = _value(arguments, "--config")
    arguments = _without(arguments, "--config")
    description = DESCRIPTION.format(presets=", ".join(preset_names()))
    task, preset = _value(arguments, *_TASK), _value(arguments, "--preset")
    if stored is not None:
        default = read_config(stored)
        if default.env_id is not None and _value(arguments, "--env-id") is None:
            check_environment(default.env_id, stored)
        if preset is not None:
            raise ValueError(
                f"--preset {preset} beside --config {stored}: both say where settings begin, leave "
                "out one of them"
            )
        if task not in (None, default.task):
            raise ValueError(
                f"--env {task} beside --config {stored}, whose settings are those of "
                f"{default.task}: leave out one of them"
            )
    elif task is None:  # --help, or the parser's word that it is missing
        default = None
    else:
        default = starting_point(task, _value(arguments, "--source") is not None, preset)
    settings = {} if default is None else {"default": default}
    config: Config = parse_flags(
        Config, args=arguments, description=description, prog="lpt-train", **settings
    )
    return config


def parse_for_help(arguments: Sequence[str]) -> Config | None:
    """Return the settings whose values a help text shows: those of a task or preset, if named.

    Raises:
        ValueError: for an unknown one.
    """
    task, preset = _value(arguments, *_TASK), _value(arguments, "--preset")
    return None if task is None and preset is None else starting_point(task or "", True, preset)


def _parse_places(kind: type[Going], flag: str, arguments: list[str]) -> Going:
    options: Going
    options, rest = parse_flags(
        kind, args=_without(arguments, *_TASK), prog="lpt-train", return_unknown_args=True
    )
    given = sorted({word.partition("=")[0] for word in rest if word.startswith("--")})
    if rest:
        raise ValueError(
            f"{flag} goes on with the run's own settings: leave out {', '.join(given or rest)} "
            "(only --source, --device, --results, --env-id may be given anew)"
        )
    return options


def _with_present_names(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with old flags and values replaced, and say so on stderr."""
    result: list[str] = []
    for place, argument in enumerate(arguments):
        flag, equals, value = argument.partition("=")
        before = "" if place == 0 else arguments[place - 1]
        if argument == "--evaluation.no-deterministic":  # it has three values since 0.2
            argument = "--evaluation.deterministic=False"
        if flag in RENAMED:
            print(
                f"lpt-train: {flag} is {RENAMED[flag]} now (the old name goes in version 0.3)",
                file=sys.stderr,
            )
            value = ENGINES_OF_0_1.get(value, value) if flag == "--inference" else value
            argument = RENAMED[flag] + equals + value
        elif before == "--inference":
            argument = ENGINES_OF_0_1.get(argument, argument)
        elif before == "--engine" and argument == "amortised":
            argument = "amortized"
        result.append("--engine=amortized" if argument == "--engine=amortised" else argument)
    return result


def _is_given(arguments: Sequence[str], flag: str, what: str) -> bool:
    """Return whether a flag is given; raises ValueError if it has no value."""
    given = any(argument.partition("=")[0] == flag for argument in arguments)
    value = _value(arguments, flag)
    if given and (not value or value.startswith("--")):
        raise ValueError(f"{flag} has no value: give {what}")
    return given


def _value(arguments: Sequence[str], *flags: str) -> str | None:
    """Return what a flag is given, the last time as in the parser; None without it."""
    found = None
    for place, argument in enumerate(arguments):
        if argument in flags and place + 1 < len(arguments):
            found = arguments[place + 1]
        elif argument.partition("=")[0] in flags and "=" in argument:
            found = argument.partition("=")[2]
    return found


def _without(arguments: Sequence[str], *flags: str) -> list[str]:
    """Return the arguments without a flag and its value."""
    kept, skip = [], False
    for argument in arguments:
        if skip:
            skip = False
        elif argument in flags:
            skip = True
        elif argument.partition("=")[0] not in flags:
            kept.append(argument)
    return kept
