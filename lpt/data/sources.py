"""From a name to one data set: which file, folder or generator it comes from, and why."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from lpt.data.d4rl import read_d4rl, write_d4rl
from lpt.data.dataset import DatasetConfig, TrajectoryDataset
from lpt.data.minari_io import is_minari_id, read_minari
from lpt.data.npz import read_npz
from lpt.data.provenance import Provenance
from lpt.data.regenerate import NOISE, regenerate
from lpt.data.tasks import TASKS, Task, find_task

SUFFIXES = (".npz", ".hdf5", ".h5")
"""File endings that `load` reads."""

Log = Callable[[str], None]


def load(
    task_or_path: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    source: str = "auto",
    *,
    discrete: bool | None = None,
    seed: int = 0,
    steps: int | None = None,
    log: Log | None = print,
) -> TrajectoryDataset:
    """Loads the data of a task, a file or a Minari id, and says in one line which it took and why.

    `source` is one of:

    - `auto`: a path or Minari id is read as such; a task takes the D4RL file in the D4RL cache,
      else a file regenerated before, else regenerates the data (Maze2D) and keeps them;
    - `d4rl`: the D4RL file in `D4RL_DATASET_DIR` (default `~/.d4rl/datasets`);
    - `regenerated`: the file in `LPT_DATA_DIR` (default `~/.cache/lpt/datasets`), made if absent;
    - `minari`, where the first argument is a Minari id, or `minari:<id>`, or a Minari id;
    - a path to an .npz, .hdf5 or .h5 file.

    A known task gives the data its environment and, where the config has none, its horizon.

    Args:
        task_or_path: task such as `maze2d-umaze`, path, or Minari id.
        config: options; the defaults if None.
        source: see above.
        discrete: whether actions are discrete; None infers it.
        seed: of regenerated data.
        steps: rows of regenerated data; None takes D4RL's number.
        log: receives the lines to print; None is silent.

    Raises:
        FileNotFoundError: there is no such data on this machine; says where to put it.
        ValueError: unknown task or source, or malformed data.
    """
    say = log or (lambda text: None)
    name, config = os.fspath(task_or_path), config or DatasetConfig()
    task = find_task(name)
    if task is None and source == "auto":
        source, name = name, Path(name).name
    if task is not None and config.horizon is None:
        config = replace(config, horizon=task.horizon)
    if _is_path(source):
        say(f"data: {name} from {source} (the path given)")
        kind = "npz" if source.lower().endswith(".npz") else "hdf5"
        dataset = read_file(source, config, discrete=discrete, origin=_origin(task, kind))
    elif (minari_id := _minari_id(name, source)) is not None:
        say(f"data: {name} from the local Minari data set {minari_id}")
        origin = _origin(task, "minari")
        dataset = read_minari(minari_id, config, discrete=discrete, origin=origin)
    else:
        path, kind = _resolve(_known(task, name, source), source, seed, steps, say)
        dataset = read_file(path, config, discrete=discrete, origin=_origin(task, kind))
    if task is not None and dataset.provenance.id != task.name:
        say(
            f"data: this is {dataset.provenance.id}, not {task.name}: evaluated in "
            f"{dataset.provenance.env_id}, labelled with horizon {config.horizon} "
            "(--dataset.horizon)"
        )
    dropped = dataset.provenance.details["dropped_short_trajectories"]
    if dropped:
        say(f"data: dropped {dropped} trajectories under {config.min_length} steps")
    return dataset


def read_file(
    path: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    origin: Provenance | None = None,
) -> TrajectoryDataset:
    """Reads an .npz, .hdf5 or .h5 file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another ending, or malformed data.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    path = Path(path).expanduser()
    read = read_npz if suffix == ".npz" else read_d4rl
    return read(path, config, discrete=discrete, origin=origin)


def d4rl_folder() -> Path:
    """Returns D4RL's cache: `D4RL_DATASET_DIR`, or `~/.d4rl/datasets`."""
    return Path(os.environ.get("D4RL_DATASET_DIR") or "~/.d4rl/datasets").expanduser()


def data_folder() -> Path:
    """Returns where regenerated data are kept: `LPT_DATA_DIR`, or `~/.cache/lpt/datasets`."""
    return Path(os.environ.get("LPT_DATA_DIR") or "~/.cache/lpt/datasets").expanduser()


def regenerated_path(
    task: Task, steps: int | None = None, seed: int = 0, noise: float = NOISE
) -> Path:
    """Returns where the regenerated data of a task are kept; every option is in the name."""
    options = f"steps{task.steps if steps is None else steps}-seed{seed}"
    if noise != NOISE:
        options += f"-noise{noise:g}"
    return data_folder() / f"{task.name}-v{task.version}-{options}.hdf5"


def _resolve(task: Task, source: str, seed: int, steps: int | None, say: Log) -> tuple[Path, str]:
    """Returns the file of a task and the kind of source it is, making the file if need be."""
    candidates = [d4rl_folder() / file for file in task.files]
    if source in ("auto", "d4rl"):
        for path in candidates:
            if path.is_file():
                say(f"data: {task.name} from {path} (found in the D4RL cache)")
                return path, "d4rl"
    if source == "d4rl" or task.maze is None:
        places = " or ".join(map(str, candidates))
        raise FileNotFoundError(
            f"{task.name}: no D4RL file at {places}. Put the file there, set D4RL_DATASET_DIR "
            "to its folder, or give its path as the source."
        )
    path = regenerated_path(task, steps, seed)
    why = "asked for" if source == "regenerated" else f"no D4RL file in {d4rl_folder()}"
    if path.is_file():
        say(f"data: {task.name} from {path} (regenerated before; {why})")
        return path, "regenerated"
    rows = task.steps if steps is None else steps
    say(f"data: {task.name} regenerated now, {rows} steps with seed {seed}, kept in {path} ({why})")
    with progress_bar(task.name, rows) as progress:
        arrays, provenance = regenerate(task, steps=rows, seed=seed, progress=progress)
    # Another process may have made the same file meanwhile: the same bytes, so replacing is safe.
    write_d4rl(path, arrays, provenance, overwrite=True)
    return path, "regenerated"


@contextmanager
def progress_bar(name: str, rows: int) -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on stderr; yields the callback (rows done, rows) that generators take."""
    with tqdm(total=rows, desc=name, unit="step", unit_scale=True, file=sys.stderr) as bar:

        def update(done: int, _: int) -> None:
            bar.update(done - bar.n)

        yield update


def _origin(task: Task | None, kind: str) -> Provenance | None:
    return None if task is None else Provenance(kind, task.name, task.env_id)


def _is_path(source: str) -> bool:
    # A bare word is never a path: a file called `d4rl` must not change what `d4rl` means.
    named = source.lower().endswith(SUFFIXES)
    return named or (os.sep in source and Path(source).expanduser().is_file())


def _minari_id(name: str, source: str) -> str | None:
    if source == "minari":
        return name
    if source.startswith("minari:"):
        return source.removeprefix("minari:")
    return source if is_minari_id(source) else None


def _known(task: Task | None, name: str, source: str) -> Task:
    if task is None:
        close = difflib.get_close_matches(name, TASKS, n=3)
        hint = f" (did you mean {' or '.join(close)}?)" if close else ""
        raise ValueError(
            f"{name!r} is no known task{hint}. Known tasks: {', '.join(TASKS)}. Otherwise give a "
            f"path ({', '.join(SUFFIXES)}) or a Minari id (namespace/name-v0)."
        )
    if source not in ("auto", "d4rl", "regenerated"):
        raise ValueError(
            f"source {source!r}: expected auto, d4rl, regenerated, minari:<id>, or a path ending "
            f"in {', '.join(SUFFIXES)}"
        )
    return task
