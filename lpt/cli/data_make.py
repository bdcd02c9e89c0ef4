"""`lpt-data make`: data sets by their published protocols."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from lpt.cli.ending import at_once
from lpt.config.making import NOISE, Format
from lpt.machine.disk import check_writable
from lpt.machine.files import check_absent

if TYPE_CHECKING:
    from lpt.data.dataset import TrajectoryDataset
    from lpt.data.recipes.recipe import Made, Recipe
    from lpt.data.tasks import Task

_ENDINGS: dict[Format, tuple[str, ...]] = {
    "games": (".games.xz", ".games"),
    "d4rl": (".hdf5", ".h5"),
    "npz": (".npz",),
}


@dataclass(frozen=True, kw_only=True)
class Make:
    """Generate a data set with its published protocol and write it."""

    task: tyro.conf.Positional[str]
    """Task such as maze2d-umaze, hopper-medium or connect-four, or one's own maze as a string:
    '#####/#GOO#/#####'."""
    steps: int | None = None
    """Number of steps; the published number if not given (Maze2D: 1, 2 or 4 million, medium: 1
    million, medium-replay: 202,000, 402,000 or 302,000 for halfcheetah, hopper or walker2d,
    connect-four: 1 million, connect-four-mixed: 20,000 games)."""
    seed: int = 0
    """Seed of everything random."""
    noise: float = NOISE
    """Standard deviation of the action noise in a maze; 0.5 fits D4RL's data."""
    out: str | None = None
    """File to write (for minari: the data set's id). Without it, the default format goes where
    lpt-train finds it, other formats beside that place or to lpt/TASK-vN."""
    format: Format | None = None
    """One of games (Connect Four's default: one line of moves a game), d4rl (HDF5, the others'
    default), minari and npz."""
    overwrite: bool = False
    """Replace what is there."""


def run_make(command: Make) -> TrajectoryDataset:
    """Generate, write and print a data set; returns it.

    Raises:
        ValueError: unknown task, or an option out of range.
        FileExistsError: the target exists and `overwrite` is not set.
        DiskError: the target cannot be written, which is told before the work begins.
    """
    with at_once():
        from lpt.data.formats.games_behavior import describe_behavior
        from lpt.data.sources.made import progress_bar

    task, recipe = _task_and_recipe(command)
    kind = _format(command, task, recipe)
    target = _target(command, task, recipe, kind)
    with progress_bar(task.name, recipe.size(command.steps)) as progress:
        made = task.make(steps=command.steps, seed=command.seed, progress=progress)
    _write(made, kind, target, native=kind == recipe.formats[0], overwrite=command.overwrite)
    dataset = made.dataset
    print(dataset)
    if "behavior" in dataset.provenance.details:
        print(describe_behavior(dataset.provenance.details["behavior"]))
    print(f"wrote {target}")
    return dataset


def _task_and_recipe(command: Make) -> tuple[Task, Recipe]:
    """Return the task that is named, or that of one's own maze, and how its data are made."""
    from lpt.data.recipes.maze import MazeRecipe
    from lpt.data.tasks import TASKS, custom_maze, find_task

    name = command.task
    task = custom_maze(name) if "#" in name else find_task(name)
    if task is None or task.recipe is None or not task.generated:
        known = ", ".join(task.name for task in TASKS.values() if task.generated)
        raise ValueError(
            f"{name!r} has no generator: give one of {known}, or a maze string of rows of #, O and "
            "G separated by '/'. Experts are trained by scripts/train_behavior.py, which says how "
            "they are used"
        )
    recipe = task.recipe
    if isinstance(recipe, MazeRecipe):
        recipe = replace(recipe, noise=command.noise)
    return replace(task, recipe=recipe), recipe


def _format(command: Make, task: Task, recipe: Recipe) -> Format:
    """Return the format to write, after checking the options that not every task has."""
    from lpt.data.recipes.maze import MazeRecipe

    kind = command.format or recipe.formats[0]
    if kind not in recipe.formats:
        *others, last = recipe.formats
        offered = f"{', '.join(others)} or {last}"
        raise ValueError(f"--format {kind}: {task.name} has no {kind}, give {offered}")
    if command.noise != NOISE and not isinstance(recipe, MazeRecipe):
        raise ValueError(f"--noise {command.noise}: {task.name} has no action noise")
    return kind


def _target(command: Make, task: Task, recipe: Recipe, kind: Format) -> str:
    """Return the file or Minari id to write, checked before the work begins."""
    from lpt.data.formats.minari import is_minari_id
    from lpt.data.formats.minari_writer import check_minari_target
    from lpt.data.sources.folders import data_folder

    if kind == "minari":
        target = command.out or f"lpt/{task.name}-v{task.version}"
        if not is_minari_id(target):
            raise ValueError(f"--out {target!r} is no Minari id: expected namespace/name-v0")
        check_minari_target(target, command.overwrite)
        return target
    endings = _ENDINGS[kind]
    if command.out is None:
        name = task.file_name(steps=command.steps, seed=command.seed)
        path = data_folder() / (name.removesuffix(recipe.ending) + endings[0])
    else:
        path = Path(command.out)
        if not path.name.endswith(endings):
            raise ValueError(f"--out {path}: a {kind} file ends in {' or '.join(endings)}")
    check_absent(path, command.overwrite)
    check_writable(path)
    return str(path)


def _write(made: Made, kind: Format, target: str, *, native: bool, overwrite: bool) -> None:
    """Write made data in a format; `native`: in that of their recipe."""
    from lpt.data.formats.d4rl import write_d4rl
    from lpt.data.formats.minari_writer import write_minari
    from lpt.data.formats.npz import write_npz

    if native:
        made.write(target, overwrite=overwrite)
    elif kind == "d4rl":
        write_d4rl(target, made.dataset, made.provenance, overwrite=overwrite)
    elif kind == "npz":
        write_npz(target, made.dataset, overwrite=overwrite)
    else:
        final = made.final_observations()
        write_minari(target, made.dataset, final_observations=final, overwrite=overwrite)
