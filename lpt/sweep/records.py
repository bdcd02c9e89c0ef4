"""The record of a run of a sweep: how it went, and with which settings."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lpt.checkpoint.files import list_checkpoints
from lpt.config import Config, changes, from_tree, to_tree, upgrade
from lpt.reporting.results import result_name, result_path
from lpt.sweep.trials import Trial

PLACES = ("out", "results", "device", "source")
"""Settings that may differ when a sweep is called again: where things are, not what is learned."""


def unfinished(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials still to be run.

    Raises:
        ValueError: runs begun before had other settings; names them and the settings.
    """
    left, problems = [], []
    for trial in trials:
        before = json.loads(trial.record.read_text()) if trial.record.is_file() else {}
        done = before.get("status") == "done" and all(
            (trial.out / path).is_file() for path in before["results"]
        )
        if before and (done or list_checkpoints(trial.config.run)):
            changed = changes(_stored_settings(trial, before), _settings(trial))
            shown = ", ".join(f"{name} {old} -> {new}" for name, (old, new) in changed.items())
            problems += [f"- {trial.name}: {shown}"] * bool(changed)
        left += [trial] * (not done)
    if problems:
        raise ValueError(
            "these runs were begun with other settings: take another --out, or remove them from "
            f"{trials[0].out}\n" + "\n".join(problems)
        )
    return left


def make_record(trial: Trial, status: str, **details: Any) -> dict[str, Any]:
    """Return what `records/<name>.json` holds; paths are relative to the sweep's folder.

    Args:
        trial: the run.
        status: running, done, failed or interrupted.
        **details: `seconds` (of this attempt), `results` (files) and `error` (text), where known.
    """
    config = trial.config
    return {
        "run": trial.name,
        "status": status,
        "task": config.task,
        "algorithm": config.algorithm,
        "variant": config.label,
        "seed": config.seed,
        "folder": f"runs/{trial.name}",
        "log": f"records/{trial.name}.log",
        "seconds": None,
        "results": [],
        "error": None,
        **details,
        "settings": _settings(trial),
    }


def _stored_settings(trial: Trial, record: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a record; what its version did not know has its default."""
    tree = {"task": trial.config.task, **upgrade(record["settings"])}
    return _decisive(from_tree(tree, str(trial.record)))


def _settings(trial: Trial) -> dict[str, Any]:
    return _decisive(trial.config)


def _decisive(config: Config) -> dict[str, Any]:
    """Return settings that decide what is learned, as they come back from JSON."""
    settings = {k: v for k, v in to_tree(config).items() if k not in PLACES}
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def result_files(trial: Trial) -> list[str]:
    """Return the run's result files, relative to the sweep's folder."""
    config = trial.config
    names = dict.fromkeys(result_name(config.algorithm, w, config.label) for w in (1.0, 2.0))
    paths = [Path("results") / result_path(config.task, name, config.seed) for name in names]
    return [str(path) for path in paths if (trial.out / path).is_file()]


def error_text(trial: Trial, code: int) -> str:
    """Return the traceback that the run printed, or its last words and what ended it."""
    text = trial.log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    place = text.rfind("Traceback (most recent call last)")
    if code > 0 and place >= 0:
        return text[place:].strip()
    if code < 0:
        name = signal.Signals(-code).name
        memory = ": was there too little memory?" if -code == signal.SIGKILL else ""
        return f"killed by {name}{memory}\n{text[-2000:].strip()}"
    return f"ended with exit code {code}\n{text[-2000:].strip()}"
