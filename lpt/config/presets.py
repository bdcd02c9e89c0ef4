"""Presets: settings by task or by family of tasks, in `configs/`, one file for a family.

A run has a task, whose name its folder and results carry, and a preset, where its settings begin.
Without `--preset` the task's name says which. A family that is `only_by_name`, such as paper, has
settings for tasks that have presets of their own: it is taken by `--preset` only.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from lpt.config.loaders import UniqueKeys
from lpt.config.settings import Config
from lpt.config.tree import from_tree, merge

PLAIN = "plain"
"""The preset of data that nobody has tuned settings for."""
_NEAR = 0.85
"""From this likeness on, a name is taken for a known one mistyped."""


def preset_folder() -> Path:
    """Return where the presets lie: beside the installed package, or in the source tree."""
    package = Path(__file__).parents[1]
    packaged = package / "configs"
    return packaged if packaged.is_dir() else package.parent / "configs"


def presets() -> dict[str, dict[str, Any]]:
    """Return every task's preset as a tree (the family's defaults with the task's own on top)."""
    return {
        task: {"task": task, "preset": task, **merge(family["defaults"], own or {})}
        for family in _families(preset_folder()).values()
        if not family.get("only_by_name")
        for task, own in family["tasks"].items()
    }


def family_names() -> list[str]:
    """Return the names of the families, which `--preset` takes too."""
    return list(_families(preset_folder()))


def preset_names() -> list[str]:
    """Return what `--preset` takes: families such as maze2d or plain, then single tasks."""
    families = family_names()
    return [*families, *sorted({*presets()} - {*families})]


def preset(task: str) -> Config:
    """Return the configuration of a task, whose name may end in a version.

    Raises:
        ValueError: if no preset has this name; the nearest or the known ones are named.
    """
    return starting_point(task, has_source=False)


def starting_point(task: str, has_source: bool, name: str | None = None) -> Config:
    """Return where the settings of a task begin, under the task's own name.

    Args:
        task: any name.
        has_source: whether its data are given, so that it may be a task of one's own.
        name: of the preset, a task's or a family's (its defaults, and on top what it says of the
            task, if it does); None: the task's own or, for a task of one's own, the plain one.

    Raises:
        ValueError: if there is no such preset, or the task's name is another one mistyped.
    """
    name = name or find_preset(task)
    if name is None:
        _check_own(task, has_source)
        name = PLAIN
    known = presets()
    if name not in known and name not in family_names():
        near = difflib.get_close_matches(name, preset_names(), n=1)
        hint = f"did you mean {near[0]}? There are " if near else "choose one of "
        raise ValueError(f"no preset {name!r}: {hint}{', '.join(preset_names())}")
    tree = known[name] if name in known else _of_family(name, task)
    return replace(from_tree({**tree, "task": name}, f"preset {name}"), task=task)


def find_preset(task: str) -> str | None:
    """Return the preset that a task's name means, None if there is none.

    `hopper-medium-v2` means `hopper-medium`, `maze2d-umaze-sparse-v1` means `maze2d-umaze`: which
    version of the data it is, their source says.
    """
    known = presets()
    return next((name for name in _names(task) if name in known), None)


def _names(task: str) -> tuple[str, str]:
    """Return a task's name, and the same without version."""
    return task, re.sub(r"-v\d+$", "", task).removesuffix("-sparse")


def _of_family(name: str, task: str) -> dict[str, Any]:
    """Return a family's tree: its defaults, and what it says of a task on top."""
    family = _families(preset_folder())[name]
    own = next((family["tasks"][one] for one in _names(task) if one in family["tasks"]), None)
    return {"preset": name, **merge(family["defaults"], own or {})}


def _check_own(task: str, has_source: bool) -> None:
    """Raise ValueError for a name that is no task of one's own."""
    known = sorted(presets())
    near = difflib.get_close_matches(task, known, n=1, cutoff=_NEAR)
    if near:
        raise ValueError(
            f"no preset for task {task!r}: did you mean {near[0]}? To keep this name, say where "
            f"its settings begin, as in --preset {near[0]} or --preset {PLAIN}"
        )
    if not has_source:
        raise ValueError(
            f"no preset for task {task!r}: choose one of {', '.join(known)}; a task of your own "
            "needs its data (--source FILE), another one's settings are taken by --preset NAME"
        )


@cache
def _families(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the content of every file in a folder, by the name of the family; to be read only."""
    return {
        path.stem.replace("_", "-"): yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)
        for path in sorted(folder.glob("*.yaml"))
    }
