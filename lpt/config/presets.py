"""Presets: settings by task, in `configs/`, one file for a family of tasks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from lpt.config.settings import Config
from lpt.config.tree import from_tree, merge


def preset_folder() -> Path:
    """Return where the presets lie: beside the installed package, or in the source tree."""
    package = Path(__file__).parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def presets() -> dict[str, dict[str, Any]]:
    """Return every task's preset as a tree (the family's defaults with the task's own on top)."""
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(preset_folder().glob("*.yaml")):
        family = yaml.safe_load(path.read_text(encoding="utf-8"))
        for task, own in family["tasks"].items():
            found[task] = {"task": task, **merge(family["defaults"], own or {})}
    return found


def preset(task: str) -> Config:
    """Return the configuration of a task.

    Raises:
        ValueError: if no preset has this name; the known ones are listed.
    """
    known = presets()
    if task not in known:
        raise ValueError(
            f"no preset for task {task!r}: choose one of {', '.join(sorted(known))}; a task of "
            "your own needs its data (--source FILE)"
        )
    return from_tree(known[task], f"preset of {task}")


def starting_point(task: str, has_source: bool) -> Config:
    """Return a task's preset, or plain settings for a task of one's own whose data are given.

    Raises:
        ValueError: if there is neither a preset nor a source.
    """
    return Config(task=task) if has_source and task not in presets() else preset(task)
