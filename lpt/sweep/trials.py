"""A sweep's YAML file: tasks x algorithms x seeds x overrides, checked as a whole before it runs.

::

    tasks: [maze2d-umaze, hopper-medium]     # presets of lpt-train, or tasks of one's own; or
                                             # each with settings: {mine: {source: mine.hdf5}}
    algorithms: [lpt, dt-final]              # as in --algorithm; [lpt] if left out
    seeds: [0, 1, 2]                         # [0] if left out
    settings:                                # of every run: lpt-train's flags, as a tree
      updates: 2000
      training: {threads: 1}
    overrides:                               # variants by name, each a tree of flags; may be left
      wide: {model: {width: 128}}            # out; the name is added to the algorithm's
      langevin: {engine: langevin}
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args

import yaml

from lpt.config import Algorithm, Config, from_tree, merge, to_tree, upgrade
from lpt.config.loaders import UniqueKeys
from lpt.config.presets import starting_point
from lpt.reporting.results import result_name

KEYS = ("tasks", "algorithms", "seeds", "settings", "overrides")
"""What a sweep's file may hold."""
DEFAULTS = {"algorithms": ["lpt"], "seeds": [0], "settings": {}, "overrides": {"": {}}}
"""What stands for keys that are left out."""
OWN = ("task", "algorithm", "seed", "out", "results", "label")
"""Fields of a run's configuration that the sweep itself sets."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run of a sweep."""

    name: str
    """`<task>/<algorithm>[-<variant>]/seed<k>`, the place of its files."""
    out: Path
    """The sweep's folder; below it `runs/<name>/` is the run's folder (`lpt.training.run`),
    `records/<name>.json` says how it went, `records/<name>.log` holds what it printed, and
    `results/` gets its result file."""
    config: Config
    """The run's whole configuration."""

    @property
    def record(self) -> Path:
        """The file that says how the run went."""
        return self.out / "records" / f"{self.name}.json"

    @property
    def log(self) -> Path:
        """The file with all that the run prints."""
        return self.out / "records" / f"{self.name}.log"


def read_sweep(path: Path, out: Path) -> list[Trial]:
    """Read a sweep's file.

    Args:
        path: the YAML file, see above.
        out: folder of everything that the sweep writes.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is malformed; lists everything that is wrong, not the first thing only.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Give a sweep's YAML file.")
    try:
        sweep: Any = yaml.load(path.read_text(encoding="utf-8"), UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(sweep, dict):
        raise ValueError(f"{path}: expected a tree with the keys {', '.join(KEYS)}")
    sweep = {**DEFAULTS, **sweep}
    problems = list(_problems(sweep))
    trials = [] if problems else list(_trials(sweep, out, problems))
    if problems:
        listed = "\n".join(f"- {problem}" for problem in problems)
        raise ValueError(f"{path}: nothing was started, mend these first:\n{listed}")
    return trials


def configuration(task: str, algorithm: str, *trees: dict[str, Any]) -> Config:
    """Return what `lpt-train --env task --algorithm algorithm` would run with trees of settings.

    Args:
        task: name of a preset, or of a task of one's own with its source among the settings.
        algorithm: lpt or a baseline.
        *trees: settings; later ones win.

    Raises:
        ValueError: for an unknown setting or a wrong value, which it names.
    """
    own: dict[str, Any] = {}
    for tree in trees:
        own = merge(own, _with_underscores(upgrade(tree)))
    whole = merge(to_tree(starting_point(task, "source" in own, own.get("preset"))), own)
    return from_tree({**whole, "algorithm": algorithm}, "settings")


def _with_underscores(tree: dict[str, Any]) -> dict[str, Any]:
    """Return a tree whose names may be written as flags are."""
    return {
        str(key).replace("-", "_"): _with_underscores(value) if isinstance(value, dict) else value
        for key, value in tree.items()
    }


def _trials(sweep: dict[str, Any], out: Path, problems: list[str]) -> Iterator[Trial]:
    """Yield every run; what the parser refuses is added to the problems."""
    tasks, variants = _own_trees(sweep["tasks"]), sweep["overrides"]
    for task, variant, algorithm in itertools.product(tasks, variants, sweep["algorithms"]):
        trees = (sweep["settings"] or {}, tasks[task], variants[variant] or {})
        try:
            config = configuration(task, algorithm, *trees)
            label = "-".join(filter(None, (config.label, str(variant))))  # a preset may have one
            config = replace(config, label=label)
        except ValueError as error:
            which = f"{task}, {variant}" if variant else task
            problems.append(f"{which}, {algorithm}: {error}")
            continue
        yield from (_trial(config, seed, out) for seed in sweep["seeds"])


def _own_trees(tasks: list[str] | dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings that tasks have of their own, by their names."""
    return {task: tasks[task] or {} if isinstance(tasks, dict) else {} for task in tasks}


def _trial(config: Config, seed: int, out: Path) -> Trial:
    kind = result_name(config.algorithm, label=config.label)
    name = f"{config.task}/{kind}/seed{seed}"
    config = replace(config, seed=seed, out=out / "runs" / name, results=out / "results")
    return Trial(name=name, out=out, config=config)


def _problems(sweep: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with the file's own keys, before any run is configured."""
    for key in sorted(set(map(str, sweep)) - set(KEYS)):
        yield f"unknown key {key!r}: a sweep has {', '.join(KEYS)}"
    for key, kind in (("tasks", str), ("algorithms", str), ("seeds", int)):
        values = sweep.get(key)
        if key == "tasks" and isinstance(values, dict):
            values = list(values)
        if not isinstance(values, list) or not values or not all(type(v) is kind for v in values):
            yield f"{key} is {values!r}: expected a list of {kind.__name__}, such as {_LIKE[key]}"
        elif len(set(values)) < len(values):
            yield f"{key} is {values!r}: nothing may stand there twice"
        elif key == "algorithms":
            known = get_args(Algorithm)
            others = (value for value in values if value not in known)
            yield from (f"unknown algorithm {v!r}: known are {', '.join(known)}" for v in others)
        elif key == "tasks":
            yield from _unknown(values, sweep)
    trees = {"settings": sweep["settings"]}
    for key in ("tasks", "overrides"):
        if isinstance(sweep.get(key), dict):
            trees |= {f"{key}.{name}": tree for name, tree in sweep[key].items()}
    if not isinstance(sweep["overrides"], dict):
        yield f"overrides is {sweep['overrides']!r}: expected variants by name"
    for where, tree in trees.items():
        yield from _misplaced(where, {} if tree is None else tree)


_LIKE = {"tasks": "[maze2d-umaze]", "algorithms": "[lpt, bc]", "seeds": "[0, 1]"}


def _unknown(tasks: list[Any], sweep: dict[str, Any]) -> Iterator[str]:
    """Yield what is wrong with names of tasks, if their data are nowhere given."""
    overrides = sweep["overrides"] if isinstance(sweep["overrides"], dict) else {}
    own = sweep["tasks"] if isinstance(sweep["tasks"], dict) else {}
    for task in tasks:
        trees = (sweep["settings"], own.get(task), *overrides.values())
        found = (upgrade(tree) for tree in trees if isinstance(tree, dict))
        given = {key: value for tree in found for key, value in tree.items()}
        try:
            starting_point(task, "source" in given, given.get("preset"))
        except ValueError as error:
            yield str(error)


def _misplaced(where: str, tree: Any) -> Iterator[str]:
    if not isinstance(tree, dict):
        yield f"{where} is {tree!r}: expected settings, such as {{model: {{width: 64}}}}"
        return
    known = {field.name for field in fields(Config)}
    for key in map(str, upgrade(tree)):
        if key.replace("-", "_") in OWN:
            yield f"{where}.{key}: the sweep itself sets it"
        elif key.replace("-", "_") not in known:
            yield f"{where}.{key}: no such setting; there are {', '.join(sorted(known - {*OWN}))}"
