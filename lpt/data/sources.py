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
from lpt.data.games import SUFFIXES as GAMES_SUFFIXES
from lpt.data.games import is_games_path, read_games, write_games
from lpt.data.minari_io import is_minari_id, read_minari
from lpt.data.npz import read_npz
from lpt.data.provenance import Provenance
from lpt.data.regenerate import NOISE, regenerate, regenerate_games
from lpt.data.tasks import TASKS, Task, find_task
from lpt_envs.connect_four.games import Games, shipped_games

SUFFIXES = (".npz", ".hdf5", ".h5", *GAMES_SUFFIXES)
"""File endings that `load` reads."""
SHIPPED_SEED = 0
"""Seed of the games that the package holds."""

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
      else a file regenerated before, else the one shipped with the package (Connect Four), else
      regenerates the data (Maze2D, Connect Four) and keeps them;
    - `d4rl`: the D4RL file in `D4RL_DATASET_DIR` (default `~/.d4rl/datasets`);
    - `regenerated`: the file in `LPT_DATA_DIR` (default `~/.cache/lpt/datasets`), made if absent;
    - `shipped`: the file in the package;
    - `minari`, where the first argument is a Minari id, or `minari:<id>`, or a Minari id;
    - a path to an .npz, .hdf5, .h5, .games or .games.xz file.

    A known task gives the data its environment and, where the config has none, its horizon.

    Args:
        task_or_path: task such as `maze2d-umaze`, path, or Minari id.
        config: options; the defaults if None.
        source: see above.
        discrete: whether actions are discrete; None infers it.
        seed: of regenerated data.
        steps: rows of regenerated data; None takes the published number.
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
        kind = "games" if is_games_path(source) else kind
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
    """Reads an .npz, .hdf5, .h5, .games or .games.xz file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another ending, or malformed data.
    """
    if not os.fspath(path).lower().endswith(SUFFIXES):
        raise ValueError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    path = Path(path).expanduser()
    read = read_npz if path.suffix.lower() == ".npz" else read_d4rl
    if is_games_path(path):
        read = read_games
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
    size = f"steps{task.steps if steps is None else steps}"
    if steps is None and task.games is not None:
        size = f"games{task.games}"
    options = f"{size}-seed{seed}"
    if noise != NOISE:
        options += f"-noise{noise:g}"
    suffix = ".hdf5" if task.mixture is None else ".games.xz"
    return data_folder() / f"{task.name}-v{task.version}-{options}{suffix}"


def generate_games(task: Task, steps: int | None, seed: int) -> tuple[Games, Provenance]:
    """Plays the games of a Connect Four task as `regenerate_games`, and shows a bar."""
    by_games = steps is None and task.games is not None
    total = task.games if by_games else steps or task.steps
    with progress_bar(task.name, total or 1, "game" if by_games else "step") as progress:
        return regenerate_games(task, steps=steps, seed=seed, progress=progress)


def _resolve(task: Task, source: str, seed: int, steps: int | None, say: Log) -> tuple[Path, str]:
    """Returns the file of a task and the kind of source it is, making the file if need be."""
    candidates = [d4rl_folder() / file for file in task.files]
    if source in ("auto", "d4rl"):
        for path in candidates:
            if path.is_file():
                say(f"data: {task.name} from {path} (found in the D4RL cache)")
                return path, "d4rl"
    if source == "d4rl" or not task.generated:
        raise FileNotFoundError(_no_d4rl_file(task, candidates))
    path = regenerated_path(task, steps, seed)
    shipped = shipped_games(task.mixture or "")
    full = steps is None or (task.games is None and steps == task.steps)
    has_shipped = shipped.is_file() and full and seed == SHIPPED_SEED
    if source == "shipped":
        if not has_shipped:
            raise FileNotFoundError(_not_shipped(task, steps, seed, shipped))
        say(f"data: {task.name} from {shipped} (shipped with the package; asked for)")
        return shipped, "regenerated"
    why = "asked for" if source == "regenerated" else _why_not_found(task)
    if path.is_file():
        if has_shipped and source == "auto":
            why = "goes before the one shipped with the package"
        say(f"data: {task.name} from {path} (regenerated before; {why})")
        return path, "regenerated"
    if source == "auto" and has_shipped:
        say(f"data: {task.name} from {shipped} (shipped with the package; none at {path})")
        return shipped, "regenerated"
    _make(task, path, steps, seed, why, say)
    return path, "regenerated"


def _make(task: Task, path: Path, steps: int | None, seed: int, why: str, say: Log) -> None:
    """Regenerates the data of a task at `path`."""
    rows = task.steps if steps is None else steps
    size = f"{rows} steps" if steps is not None or task.games is None else f"{task.games} games"
    say(f"data: {task.name} regenerated now, {size} with seed {seed}, kept in {path} ({why})")
    # Another process may have made the same file meanwhile: the same bytes, so replacing is safe.
    if task.mixture is not None:
        write_games(path, *generate_games(task, steps, seed), overwrite=True)
        return
    with progress_bar(task.name, rows) as progress:
        arrays, provenance = regenerate(task, steps=rows, seed=seed, progress=progress)
    write_d4rl(path, arrays, provenance, overwrite=True)


def _no_d4rl_file(task: Task, candidates: list[Path]) -> str:
    if not candidates:
        return f"{task.name}: D4RL has no such data. Take source auto, regenerated or shipped."
    return (
        f"{task.name}: no D4RL file at {' or '.join(map(str, candidates))}. Put the file there, "
        "set D4RL_DATASET_DIR to its folder, or give its path as the source."
    )


def _not_shipped(task: Task, steps: int | None, seed: int, shipped: Path) -> str:
    if not shipped.is_file():
        return f"{task.name}: the package holds no such data. Take source auto."
    return (
        f"{task.name}: the package holds the data of seed {SHIPPED_SEED} in their full size, not "
        f"steps={steps} with seed={seed}. Take source auto."
    )


def _why_not_found(task: Task) -> str:
    if task.maze is not None:
        return f"no D4RL file in {d4rl_folder()}"
    return f"the package holds only seed {SHIPPED_SEED} in full size"


@contextmanager
def progress_bar(name: str, rows: int, unit: str = "step") -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on stderr; yields the callback (rows done, rows) that generators take."""
    with tqdm(total=rows, desc=name, unit=unit, unit_scale=True, file=sys.stderr) as bar:

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
    if source not in ("auto", "d4rl", "regenerated", "shipped"):
        raise ValueError(
            f"source {source!r}: expected auto, d4rl, regenerated, shipped, minari:<id>, or a path "
            f"ending in {', '.join(SUFFIXES)}"
        )
    return task
