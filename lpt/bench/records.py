"""The record of a run of a sweep: how it went, and with which settings."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from typing import Any

from lpt.bench.sweep import Job
from lpt.checkpoint import list_checkpoints
from lpt.config import to_dict
from lpt.report import algorithm_name

PLACES = ("out", "results", "device", "data")
"""Settings that may differ when a sweep is called again: where things are, not what is learnt."""


def unfinished(jobs: Sequence[Job]) -> list[Job]:
    """Returns the jobs still to be run.

    Raises:
        ValueError: runs begun before had other settings; names them and the settings.
    """
    left, problems = [], []
    for job in jobs:
        before = json.loads(job.record.read_text()) if job.record.is_file() else {}
        done = before.get("status") == "done" and all(
            (job.out / path).is_file() for path in before["results"]
        )
        if before and (done or list_checkpoints(job.config.run)):
            changed = _changes(before["settings"], _settings(job))
            problems += [f"- {job.name}: {', '.join(changed)}"] * bool(changed)
        left += [job] * (not done)
    if problems:
        raise ValueError(
            "these runs were begun with other settings: take another --out, or remove them from "
            f"{jobs[0].out}\n" + "\n".join(problems)
        )
    return left


def make_record(job: Job, status: str, **details: Any) -> dict[str, Any]:
    """Returns what `records/<name>.json` holds; paths are relative to the sweep's folder.

    Args:
        job: the run.
        status: running, done, failed or interrupted.
        **details: `seconds` (of this attempt), `results` (files) and `error` (text), where known.
    """
    config = job.config
    return {
        "run": job.name,
        "status": status,
        "task": config.env,
        "algorithm": config.algorithm,
        "variant": config.label,
        "seed": config.seed,
        "folder": f"runs/{job.name}",
        "log": f"records/{job.name}.log",
        "seconds": None,
        "results": [],
        "error": None,
        **details,
        "settings": _settings(job),
    }


def _settings(job: Job) -> dict[str, Any]:
    """Settings that decide what is learnt, as they come back from JSON."""
    settings = {k: v for k, v in to_dict(job.config).items() if k not in PLACES}
    return json.loads(json.dumps(settings))


def _changes(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    """Settings that differ, as `model.width 64 -> 128`."""
    changes: list[str] = []
    for key in dict.fromkeys([*old, *new]):
        a, b = old.get(key), new.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            changes += _changes(a, b, f"{prefix}{key}.")
        elif a != b:
            changes.append(f"{prefix}{key} {a} -> {b}")
    return changes


def result_files(job: Job) -> list[str]:
    """Returns the run's result files, relative to the sweep's folder."""
    config = job.config
    end = f"-{config.label}" if config.label else ""
    names = dict.fromkeys(algorithm_name(config.algorithm, weight) for weight in (1.0, 2.0))
    paths = [f"results/{config.env}/{name}{end}/seed{config.seed}.json" for name in names]
    return [path for path in paths if (job.out / path).is_file()]


def error_text(job: Job, code: int) -> str:
    """Returns the traceback that the run printed, or its last words and what ended it."""
    text = job.log.read_text(encoding="utf-8", errors="replace").replace("\r", "\n")
    place = text.rfind("Traceback (most recent call last)")
    if code > 0 and place >= 0:
        return text[place:].strip()
    if code < 0:
        name = signal.Signals(-code).name
        memory = ": was there too little memory?" if -code == signal.SIGKILL else ""
        return f"killed by {name}{memory}\n{text[-2000:].strip()}"
    return f"ended with exit code {code}\n{text[-2000:].strip()}"
