"""`lpt-data`: make data sets and say what is in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from lpt.data.convert import convert
from lpt.data.d4rl import write_d4rl
from lpt.data.dataset import DatasetConfig, TrajectoryDataset
from lpt.data.files import atomic_write, check_absent
from lpt.data.games import (
    build_dataset,
    describe_behaviour,
    final_boards,
    is_games_path,
    read_behaviour,
    write_games,
)
from lpt.data.mapped import is_mapped_path, verify
from lpt.data.minari_io import is_minari_id, write_minari
from lpt.data.npz import write_npz
from lpt.data.regenerate import NOISE, final_observations, regenerate
from lpt.data.resolve import generate_games, progress_bar, regenerated_path
from lpt.data.sources import load
from lpt.data.tasks import TASKS, Task, custom_maze, find_task

Format = Literal["games", "d4rl", "minari", "npz"]
_ENDINGS: dict[str, tuple[str, ...]] = {
    "games": (".games.xz", ".games"),
    "d4rl": (".hdf5", ".h5"),
    "npz": (".npz",),
}


@dataclass(frozen=True, kw_only=True)
class Make:
    """Generate a data set with its published protocol and write it.

    Attributes:
        task: task such as maze2d-umaze, hopper-medium or connect-four, or one's own maze as a
            string: '#####/#GOO#/#####'.
        steps: number of steps; the published number if not given (Maze2D: 1, 2 or 4 million,
            medium: 1 million, medium-replay: 202,000, 402,000 or 302,000 for halfcheetah, hopper
            or walker2d, connect-four: 1 million, connect-four-mixed: 20,000 games).
        seed: seed of everything random.
        noise: standard deviation of the action noise in a maze; 0.5 fits D4RL's data.
        out: file to write (for minari: the data set's id). Without it, the default format goes
            where lpt-train finds it, other formats beside that place or to lpt/TASK-vN.
        format: games (Connect Four's default: one line of moves a game), d4rl (HDF5, the
            others' default), minari or npz.
        overwrite: replace what is there.
    """

    task: tyro.conf.Positional[str]
    steps: int | None = None
    seed: int = 0
    noise: float = NOISE
    out: str | None = None
    format: Format | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Info:
    """Print source, fingerprint, sizes and returns of a data set.

    Attributes:
        name_or_path: task, .npz, .hdf5, .h5, .games or .games.xz file, converted .lpt folder, or
            Minari id.
        source: auto, d4rl, regenerated, shipped, minari:ID, or a path.
        json: file of figures by data set, to which those of a games file are added.
        verify: read a converted folder whole and compare it with its fingerprint (all other data
            are read whole and fingerprinted anyway).
        dataset: how steps become labelled trajectories (a converted folder's own, if not given).
    """

    name_or_path: tyro.conf.Positional[str]
    source: str = "auto"
    json: Path | None = None
    verify: bool = False
    dataset: DatasetConfig = field(default_factory=DatasetConfig)


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert data to a folder of memory-mapped arrays, to train on more than memory holds.

    Memory needed: some bytes a step (.npz and games files are read whole). Disk needed meanwhile:
    twice the folder's size. The folder is then given to lpt-train by --data FOLDER.

    Attributes:
        name_or_path: task, .npz, .hdf5, .h5, .games or .games.xz file, or Minari id.
        folder: to make; its name ends in .lpt.
        source: auto, d4rl, regenerated, shipped, minari:ID, or a path.
        discrete: whether actions are discrete; inferred if not given.
        overwrite: replace a converted folder.
        dataset: how steps become labelled trajectories; min_length is fixed by the conversion.
    """

    name_or_path: tyro.conf.Positional[str]
    folder: tyro.conf.Positional[Path]
    source: str = "auto"
    discrete: bool | None = None
    overwrite: bool = False
    dataset: DatasetConfig = field(default_factory=DatasetConfig)


def main(args: Sequence[str] | None = None) -> None:
    """Runs `lpt-data make`, `info` or `convert`; user errors end with a message and status 1."""
    make = Annotated[Make, tyro.conf.subcommand("make")]
    info = Annotated[Info, tyro.conf.subcommand("info")]
    conversion = Annotated[Convert, tyro.conf.subcommand("convert")]
    command = tyro.cli(make | info | conversion, args=args, prog="lpt-data", description=__doc__)
    try:
        if isinstance(command, Make):
            run_make(command)
        elif isinstance(command, Info):
            run_info(command)
        else:
            run_convert(command)
    except (ValueError, OSError) as error:
        sys.exit(f"lpt-data: {error}")


def run_make(command: Make) -> TrajectoryDataset:
    """Generates, writes and prints a data set; returns it.

    Raises:
        ValueError: unknown task, or an option out of range.
        FileExistsError: the target exists and `overwrite` is not set.
    """
    task = _task(command.task)
    kind = _format(command, task)
    target = _target(command, task, kind)
    make = _make_steps if task.mixture is None else _make_games
    dataset = make(command, task, kind, target)
    print(dataset)
    if "behaviour" in dataset.provenance.details:
        print(describe_behaviour(dataset.provenance.details["behaviour"]))
    print(f"wrote {target}")
    return dataset


def run_info(command: Info) -> None:
    """Loads and prints a data set, and the results of the games if it comes from a games file.

    Raises:
        ValueError: unknown or malformed data, or figures are asked for of other than games.
    """
    place = command.name_or_path if command.source == "auto" else command.source
    own = is_mapped_path(place) and command.dataset == DatasetConfig()
    dataset = load(command.name_or_path, None if own else command.dataset, command.source)
    print(dataset)
    if command.verify:
        verify(dataset)
        print("verified: all arrays, labels, means and standard deviations are as recorded")
    path = str(dataset.provenance.details.get("path", ""))
    if is_games_path(path):
        figures = read_behaviour(path)
        print(describe_behaviour(figures))
        if command.json is not None:
            figures = {"fingerprint": dataset.provenance.fingerprint, **figures}
            _add_figures(command.json, dataset.provenance.id, figures)
    elif command.json is not None:
        raise ValueError(f"--json {command.json}: only games files have figures to add")


def run_convert(command: Convert) -> TrajectoryDataset:
    """Converts a data set to a folder and prints it; returns it.

    Raises:
        ValueError: unknown or malformed data, or a folder of another ending.
        FileExistsError: the folder exists and `overwrite` is not set.
    """
    dataset = convert(
        command.name_or_path,
        command.folder,
        command.dataset,
        command.source,
        discrete=command.discrete,
        overwrite=command.overwrite,
    )
    print(dataset)
    print(f"wrote {command.folder}")
    return dataset


def _make_steps(command: Make, task: Task, kind: Format, target: str) -> TrajectoryDataset:
    steps = task.steps if command.steps is None else command.steps
    with progress_bar(task.name, steps) as progress:
        arrays, provenance = regenerate(
            task, steps=steps, seed=command.seed, noise=command.noise, progress=progress
        )
    keys = ("observations", "actions", "rewards", "terminals", "timeouts")
    config = DatasetConfig(horizon=task.horizon)
    dataset = TrajectoryDataset.from_steps(
        *(arrays[key] for key in keys), provenance=provenance, config=config
    )
    if kind == "d4rl":
        write_d4rl(target, arrays, provenance, overwrite=command.overwrite)
    elif kind == "npz":
        write_npz(target, dataset, overwrite=command.overwrite)
    else:
        final = final_observations(arrays, dataset.offsets)
        write_minari(target, dataset, final_observations=final, overwrite=command.overwrite)
    return dataset


def _make_games(command: Make, task: Task, kind: Format, target: str) -> TrajectoryDataset:
    games, provenance = generate_games(task, command.steps, command.seed)
    dataset = build_dataset(games, provenance)
    if kind == "games":
        write_games(target, games, provenance, overwrite=command.overwrite)
    elif kind == "d4rl":
        write_d4rl(target, dataset, provenance, overwrite=command.overwrite)
    elif kind == "npz":
        write_npz(target, dataset, overwrite=command.overwrite)
    else:
        final = final_boards(games)
        write_minari(target, dataset, final_observations=final, overwrite=command.overwrite)
    return dataset


def _task(name: str) -> Task:
    task = custom_maze(name) if "#" in name else find_task(name)
    if task is None or not task.generated:
        known = ", ".join(task.name for task in TASKS.values() if task.generated)
        raise ValueError(
            f"{name!r} has no generator: give one of {known}, or a maze string of rows of #, O and "
            "G separated by '/'. Experts are trained by scripts/train_behaviour.py, which says how "
            "they are used"
        )
    return task


def _format(command: Make, task: Task) -> Format:
    """Returns the format to write, after checking the options that not every task has."""
    if task.mixture is None:
        if command.format == "games":
            raise ValueError(f"--format games: {task.name} has no games, give d4rl, minari or npz")
    if task.maze is None and command.noise != NOISE:
        raise ValueError(f"--noise {command.noise}: {task.name} has no action noise")
    return command.format or ("d4rl" if task.mixture is None else "games")


def _target(command: Make, task: Task, kind: Format) -> str:
    """Returns the file or Minari id to write, checked before the work begins."""
    if kind == "minari":
        target = command.out or f"lpt/{task.name}-v{task.version}"
        if not is_minari_id(target):
            raise ValueError(f"--out {target!r} is no Minari id: expected namespace/name-v0")
        return target
    endings = _ENDINGS[kind]
    if command.out is None:
        path = regenerated_path(task, command.steps, command.seed, command.noise)
        stem = path.name.removesuffix(".hdf5").removesuffix(".games.xz")
        path = path.with_name(stem + endings[0])
    else:
        path = Path(command.out)
        if not path.name.endswith(endings):
            raise ValueError(f"--out {path}: a {kind} file ends in {' or '.join(endings)}")
    check_absent(path, command.overwrite)
    return str(path)


def _add_figures(path: Path, name: str, figures: dict[str, Any]) -> None:
    """Puts figures under a name into a JSON file of figures by name."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(record, dict):
        raise ValueError(f"--json {path}: expected a JSON object of figures by data set")
    record[name] = figures
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"added {name} to {path}")


if __name__ == "__main__":
    main()
