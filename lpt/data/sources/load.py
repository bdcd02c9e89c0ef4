"""From a name to one data set: which file, folder or generator it comes from, and why."""

from __future__ import annotations

import difflib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from lpt.config import DatasetConfig
from lpt.data.blocks import Allocate
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.files import SUFFIXES, file_kind, read_file
from lpt.data.formats.mapped import is_mapped_path, stored_horizon
from lpt.data.formats.minari import is_minari_id, read_minari
from lpt.data.provenance import Provenance
from lpt.data.rewards import pay_once
from lpt.data.sources.download import download_record
from lpt.data.sources.evaluated import for_environment, horizon_of
from lpt.data.sources.resolve import NAMES, resolve
from lpt.data.sources.source import Found, Log, Request
from lpt.data.tasks import TASKS, Task, find_task


def load(
    task_or_path: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    source: str = "auto",
    *,
    discrete: bool | None = None,
    seed: int = 0,
    steps: int | None = None,
    env_id: str | None = None,
    log: Log | None = print,
    empty: Allocate = np.empty,
) -> TrajectoryDataset:
    """Load the data of a task, a file or a Minari id, and say in one line which it took and why.

    `source` is one of:

    - `auto`: a path or Minari id is read as such; a task takes the D4RL file in the D4RL cache,
      else Minari's own data set of the same name if that is on this machine (`Task.minari_id`),
      else a file regenerated before, else the one shipped with the package (Connect Four), else
      downloads D4RL's file, else regenerates the data (Maze2D, MuJoCo, Connect Four) and keeps
      them. `steps` or another `seed` than 0 ask for regenerated data: no Minari, no download.
      Antmaze and kitchen are taken only from this machine, and Minari's set goes before D4RL's
      file, whose policies could not be evaluated;
    - `d4rl`: the D4RL file in `D4RL_DATASET_DIR` (default `~/.d4rl/datasets`), downloaded if
      absent, never regenerated. `LPT_D4RL_URL` names a mirror, `LPT_OFFLINE=1` forbids downloads;
    - `regenerated`: the file in `LPT_DATA_DIR` (default `~/.cache/lpt/datasets`), made if absent;
    - `shipped`: the file in the package;
    - `minari`: the task's own set (`Task.minari_id`), or the first argument if that is an id;
      `minari:<id>` or a Minari id: that one. Downloaded if absent, unless `LPT_OFFLINE=1`;
    - a path to an .npz, .hdf5, .h5, .games or .games.xz file, or to a converted .lpt folder
      (`lpt.data.formats.mapped`), whose source and environment are those of what it was made from.

    Where the config has no horizon, it is the time limit of the environment, else the task's, else
    the file's; where these differ, one line says so. A known task gives the data its environment;
    Minari data keep the environment of their own specification (antmaze and kitchen: that of the
    task, and rewards that are paid once, `lpt.data.rewards`).

    Args:
        task_or_path: task such as `maze2d-umaze`, path, or Minari id.
        config: options; the defaults if None, or those that a folder was converted with.
        source: see above.
        discrete: whether actions are discrete; None infers it.
        seed: of regenerated data.
        steps: rows of regenerated data; None takes the published number.
        env_id: gymnasium id that policies will be evaluated in; None: the data's own.
        log: receives the lines to print; None is silent.
        empty: makes the arrays that HDF5 files and Minari data are read into.

    Raises:
        FileNotFoundError: there is no such data on this machine; says where to put it.
        ValueError: unknown task or source, or malformed data.
    """
    say = log or _silent
    given, config = config, config or DatasetConfig()
    name = os.fspath(task_or_path)
    task = find_task(name)
    if task is None and source == "auto":
        source, name = name, Path(name).name
    asked, limit = config.horizon, horizon_of(env_id, task)
    if asked is None:
        config = replace(config, horizon=limit or (None if task is None else task.horizon))
    if _is_path(source):
        say(f"data: {name} from {source} (the path given)")
        found = Found(source, file_kind(source))
    else:
        found = resolve(_request(task, name, source, steps, seed, say))
    place = found.place
    if found.kind == "minari":
        dataset = _read_minari(str(place), config, discrete, task, empty)
    else:
        # A folder's own horizon goes before the task's.
        stored = found.kind == "lpt" and limit is None
        own = stored and (given is None or stored_horizon(place) is not None)
        origin = _origin(task, found)
        options = given if own else config
        dataset = read_file(place, options, discrete=discrete, origin=origin, empty=empty)
        asked = dataset.config.horizon if own else asked
    if task is not None and task.max_return is not None:
        dataset = _pay_once(dataset, task.max_return, say)
    dataset = for_environment(dataset, task, env_id, asked, say)
    dropped = dataset.provenance.details["dropped_short_trajectories"]
    if dropped:
        say(f"data: dropped {dropped} trajectories under {dataset.config.min_length} steps")
    return dataset


def _request(
    task: Task | None, name: str, source: str, steps: int | None, seed: int, say: Log
) -> Request:
    """Return the request for data that are not given by a path.

    Raises:
        ValueError: unknown task or source, or Minari has no set of the task.
    """
    minari_id = _minari_id(task, name, source)
    if minari_id is not None:
        return Request(source="minari", name=name, task=task, minari_id=minari_id, say=say)
    task = _known(task, name, source)
    return Request(
        source=source,
        name=task.name,
        task=task,
        minari_id=task.minari_id,
        steps=steps,
        seed=seed,
        say=say,
    )


def _read_minari(
    minari_id: str,
    config: DatasetConfig,
    discrete: bool | None,
    task: Task | None,
    empty: Allocate,
) -> TrajectoryDataset:
    """Read Minari data, to be evaluated where they were recorded, else in the task's environment.

    Minari's own MuJoCo data are of v5, in which D4RL's scores do not hold. The environments that
    antmaze and kitchen were recorded in never end and pay for as long as a goal lasts: the task
    says how they are evaluated.
    """
    origin = None if task is None else Provenance("minari", task.name)
    if task is not None and task.env_kwargs and minari_id == task.minari_id:
        details = {"env_kwargs": task.env_kwargs}
        origin = Provenance("minari", task.name, task.env_id, details=details)
    dataset = read_minari(minari_id, config, discrete=discrete, origin=origin, empty=empty)
    record = dataset.provenance
    if task is None or record.env_id is not None or record.id != task.name:
        return dataset
    return replace(dataset, provenance=replace(record, env_id=task.env_id))


def _pay_once(dataset: TrajectoryDataset, max_return: float, say: Log) -> TrajectoryDataset:
    paid = pay_once(dataset, max_return)
    if paid is not dataset:
        say(
            f"data: rewards last as long as what was reached (returns up to "
            f"{dataset.returns.max():g}): paid once, as in evaluation (up to {max_return:g})"
        )
    return paid


def _origin(task: Task | None, found: Found) -> Provenance | None:
    """Return what is known of a file besides its own words."""
    if task is None:
        return None
    record = download_record(Path(found.place).expanduser())
    details = {} if record is None else {"download": record}
    env_id = task.env_id if task.files_fit else None
    return Provenance(found.kind, task.name, env_id, details=details)


def _is_path(source: str) -> bool:
    # A bare word is never a path: a file called `d4rl` must not change what `d4rl` means.
    named = source.lower().endswith(SUFFIXES) or is_mapped_path(source)
    return named or (os.sep in source and Path(source).expanduser().is_file())


def _minari_id(task: Task | None, name: str, source: str) -> str | None:
    """Return the Minari id that is asked for, None if another source is."""
    if source.startswith("minari:"):
        return source.removeprefix("minari:")
    if source != "minari":
        return source if is_minari_id(source) else None
    if task is None:
        return name
    if task.minari_id is None:
        raise ValueError(
            f"{task.name}: Minari has no data set of this name. Give the id of another one as "
            "minari:<id>, or take source auto."
        )
    return task.minari_id


def _known(task: Task | None, name: str, source: str) -> Task:
    if task is None:
        close = difflib.get_close_matches(name, TASKS, n=3)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise ValueError(
            f"{name!r} is no known task{hint}. Known tasks: {', '.join(TASKS)}. Otherwise give a "
            f"path ({', '.join(SUFFIXES)}) or a Minari id (namespace/name-v0)."
        )
    if source not in NAMES:
        raise ValueError(
            f"source {source!r}: expected auto, d4rl, minari, minari:<id>, regenerated, shipped, "
            f"or a path ending in {', '.join(SUFFIXES)}"
        )
    return task


def _silent(text: str) -> None:
    """Take a line and print nothing."""
