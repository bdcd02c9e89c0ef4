"""`lpt-data`: make data sets and say what is in them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from lpt.data.d4rl import write_d4rl
from lpt.data.dataset import DatasetConfig, TrajectoryDataset
from lpt.data.files import check_absent
from lpt.data.minari_io import is_minari_id, write_minari
from lpt.data.npz import write_npz
from lpt.data.regenerate import NOISE, final_observations, regenerate
from lpt.data.sources import load, progress_bar, regenerated_path
from lpt.data.tasks import TASKS, Task, custom_maze, find_task


@dataclass(frozen=True, kw_only=True)
class Make:
    """Generate a Maze2D data set with D4RL's protocol and write it.

    Attributes:
        task: task such as maze2d-umaze, or one's own maze as a string: '#####/#GOO#/#####'.
        steps: number of steps; D4RL's number if not given (1, 2 or 4 million).
        seed: seed of targets, waypoints and action noise.
        noise: standard deviation of the action noise; 0.5 fits D4RL's data.
        out: file to write (for minari: the data set's id). Without it, d4rl files go where
            lpt-train finds them, other formats beside that place or to lpt/TASK-v1.
        format: d4rl (HDF5), minari or npz.
        overwrite: replace what is there.
    """

    task: tyro.conf.Positional[str]
    steps: int | None = None
    seed: int = 0
    noise: float = NOISE
    out: str | None = None
    format: Literal["d4rl", "minari", "npz"] = "d4rl"
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class Info:
    """Print source, fingerprint, sizes and returns of a data set.

    Attributes:
        name_or_path: task, .npz, .hdf5 or .h5 file, or Minari id.
        source: auto, d4rl, regenerated, minari:ID, or a path.
        dataset: how steps become labelled trajectories.
    """

    name_or_path: tyro.conf.Positional[str]
    source: str = "auto"
    dataset: DatasetConfig = field(default_factory=DatasetConfig)


def main(args: Sequence[str] | None = None) -> None:
    """Runs `lpt-data make` or `lpt-data info`; user errors end with their message and status 1."""
    make = Annotated[Make, tyro.conf.subcommand("make")]
    info = Annotated[Info, tyro.conf.subcommand("info")]
    command = tyro.cli(make | info, args=args, prog="lpt-data", description=__doc__)
    try:
        if isinstance(command, Make):
            run_make(command)
        else:
            print(load(command.name_or_path, command.dataset, command.source))
    except (ValueError, OSError) as error:
        sys.exit(f"lpt-data: {error}")


def run_make(command: Make) -> TrajectoryDataset:
    """Generates, writes and prints a data set; returns it.

    Raises:
        ValueError: unknown task, or an option out of range.
        FileExistsError: the target exists and `overwrite` is not set.
    """
    task = _task(command.task)
    steps = task.steps if command.steps is None else command.steps
    target = _target(command, task, steps)
    with progress_bar(task.name, steps) as progress:
        arrays, provenance = regenerate(
            task, steps=steps, seed=command.seed, noise=command.noise, progress=progress
        )
    keys = ("observations", "actions", "rewards", "terminals", "timeouts")
    config = DatasetConfig(horizon=task.horizon)
    dataset = TrajectoryDataset.from_steps(
        *(arrays[key] for key in keys), provenance=provenance, config=config
    )
    if command.format == "d4rl":
        write_d4rl(target, arrays, provenance, overwrite=command.overwrite)
    elif command.format == "npz":
        write_npz(target, dataset, overwrite=command.overwrite)
    else:
        final = final_observations(arrays, dataset.offsets)
        write_minari(target, dataset, final_observations=final, overwrite=command.overwrite)
    print(dataset)
    print(f"wrote {target}")
    return dataset


def _task(name: str) -> Task:
    task = custom_maze(name) if "#" in name else find_task(name)
    if task is None or task.maze is None:
        known = ", ".join(task.name for task in TASKS.values() if task.maze is not None)
        raise ValueError(
            f"{name!r} has no generator: give one of {known}, or a maze string of rows of #, O and "
            "G separated by '/'"
        )
    return task


def _target(command: Make, task: Task, steps: int) -> str:
    """Returns the file or Minari id to write, checked before the work begins."""
    if command.format == "minari":
        target = command.out or f"lpt/{task.name}-v{task.version}"
        if not is_minari_id(target):
            raise ValueError(f"--out {target!r} is no Minari id: expected namespace/name-v0")
        return target
    path = Path(command.out or regenerated_path(task, steps, command.seed, command.noise))
    suffix = ".npz" if command.format == "npz" else ".hdf5"
    if command.out is None:
        path = path.with_suffix(suffix)
    elif path.suffix not in ((".npz",) if suffix == ".npz" else (".hdf5", ".h5")):
        raise ValueError(f"--out {path}: a {command.format} file ends in {suffix}")
    check_absent(path, command.overwrite)
    return str(path)


if __name__ == "__main__":
    main()
