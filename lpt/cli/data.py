"""`lpt-data`: make, record and convert data sets, and say what is in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Union

import tyro

from lpt.cli.data_record import Record, run_record
from lpt.cli.data_show import List, Show, run_list, run_show
from lpt.cli.ending import ending
from lpt.cli.version import show_version
from lpt.config import DatasetConfig
from lpt.config.flags import parse_flags
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.d4rl import write_d4rl
from lpt.data.formats.games import is_games_path
from lpt.data.formats.games_behavior import describe_behavior, read_behavior
from lpt.data.formats.mapped import is_mapped_path, verify
from lpt.data.formats.minari import is_minari_id
from lpt.data.formats.minari_writer import check_minari_target, write_minari
from lpt.data.formats.npz import write_npz
from lpt.data.recipes.maze import NOISE, MazeRecipe
from lpt.data.recipes.recipe import Format, Made, Recipe
from lpt.data.sources.convert import convert
from lpt.data.sources.folders import data_folder
from lpt.data.sources.load import load
from lpt.data.sources.made import progress_bar
from lpt.data.tasks import TASKS, Task, custom_maze, find_task
from lpt.machine.disk import check_writable
from lpt.machine.files import check_absent, write_json

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


@dataclass(frozen=True, kw_only=True)
class Info:
    """Print source, fingerprint, sizes and returns of a data set."""

    name_or_path: tyro.conf.Positional[str]
    """Task, .npz, .hdf5, .h5, .games or .games.xz file, converted .lpt folder, or Minari id."""
    source: str = "auto"
    """Where from: auto, d4rl, minari, minari:ID, regenerated, shipped, or a path."""
    json: Path | None = None
    """File of figures by data set, to which those of a games file are added."""
    verify: bool = False
    """Read a converted folder whole and compare it with its fingerprint (all other data are read
    whole and fingerprinted anyway)."""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    """How steps become labeled trajectories (a converted folder's own, if not given)."""


@dataclass(frozen=True, kw_only=True)
class Convert:
    """Convert data to a folder of memory-mapped arrays, to train on more than memory holds.

    Memory needed: some bytes a step (.npz and games files are read whole). Disk needed meanwhile:
    twice the folder's size. The folder is then given to lpt-train by --source FOLDER.
    """

    name_or_path: tyro.conf.Positional[str]
    """Task, .npz, .hdf5, .h5, .games or .games.xz file, or Minari id."""
    folder: tyro.conf.Positional[Path]
    """To make; its name ends in .lpt."""
    source: str = "auto"
    """Where from: auto, d4rl, minari, minari:ID, regenerated, shipped, or a path."""
    discrete: bool | None = None
    """Whether actions are discrete; inferred if not given."""
    overwrite: bool = False
    """Replace a converted folder."""
    dataset: DatasetConfig = field(default_factory=DatasetConfig)
    """How steps become labeled trajectories; min_length is fixed by the conversion."""


def main(args: Sequence[str] | None = None) -> int:
    """Run one of the subcommands; returns the exit code, 2 for a user's error."""
    if show_version("lpt-data", sys.argv[1:] if args is None else args):
        return 0
    parts = {
        name: Annotated[kind, tyro.conf.subcommand(name)] for kind, (name, _) in _COMMANDS.items()
    }
    commands: Any = Union[tuple(parts.values())]  # noqa: UP007
    return ending("lpt-data", lambda: _run(commands, args))


def _run(commands: Any, args: Sequence[str] | None) -> None:
    command = parse_flags(commands, args=args, prog="lpt-data", description=__doc__)
    _COMMANDS[type(command)][1](command)


def run_make(command: Make) -> TrajectoryDataset:
    """Generate, write and print a data set; returns it.

    Raises:
        ValueError: unknown task, or an option out of range.
        FileExistsError: the target exists and `overwrite` is not set.
        DiskError: the target cannot be written, which is told before the work begins.
    """
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


def run_info(command: Info) -> None:
    """Load and print a data set, and the results of the games if it comes from a games file.

    Raises:
        ValueError: unknown or malformed data, or figures are asked for of other than games.
        DiskError: the figures cannot be written.
    """
    if command.json is not None:
        check_writable(command.json)
    place = command.name_or_path if command.source == "auto" else command.source
    own = is_mapped_path(place) and command.dataset == DatasetConfig()
    dataset = load(command.name_or_path, None if own else command.dataset, command.source)
    print(dataset)
    if command.verify:
        verify(dataset)
        print("verified: all arrays, labels, means and standard deviations are as recorded")
    path = str(dataset.provenance.details.get("path", ""))
    if is_games_path(path):
        figures = read_behavior(path)
        print(describe_behavior(figures))
        if command.json is not None:
            figures = {"fingerprint": dataset.provenance.fingerprint, **figures}
            _add_figures(command.json, dataset.provenance.id, figures)
    elif command.json is not None:
        raise ValueError(f"--json {command.json}: only games files have figures to add")


def run_convert(command: Convert) -> TrajectoryDataset:
    """Convert a data set to a folder and print it; returns it.

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


def _task_and_recipe(command: Make) -> tuple[Task, Recipe]:
    """Return the task that is named, or that of one's own maze, and how its data are made."""
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
    if native:
        made.write(target, overwrite=overwrite)
    elif kind == "d4rl":
        write_d4rl(target, made.dataset, made.provenance, overwrite=overwrite)
    elif kind == "npz":
        write_npz(target, made.dataset, overwrite=overwrite)
    else:
        final = made.final_observations()
        write_minari(target, made.dataset, final_observations=final, overwrite=overwrite)


def _add_figures(path: Path, name: str, figures: dict[str, Any]) -> None:
    """Put figures under a name into a JSON file of figures by name."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not isinstance(record, dict):
        raise ValueError(f"--json {path}: expected a JSON object of figures by data set")
    record[name] = figures
    write_json(record, path, overwrite=True)
    print(f"added {name} to {path}")


_COMMANDS: dict[type, tuple[str, Callable[[Any], object]]] = {
    List: ("list", run_list),
    Show: ("show", run_show),
    Info: ("info", run_info),
    Make: ("make", run_make),
    Record: ("record", run_record),
    Convert: ("convert", run_convert),
}
"""The subcommands by what they take."""


if __name__ == "__main__":
    sys.exit(main())
