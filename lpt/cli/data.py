"""`lpt-data`: make, record and convert data sets, and say what is in them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Union

import tyro

from lpt.cli.data_make import Make, run_make
from lpt.cli.data_record import Record, run_record
from lpt.cli.data_show import List, Show, run_list, run_show
from lpt.cli.ending import at_once, ending
from lpt.cli.version import show_version
from lpt.config import DatasetConfig
from lpt.config.flags import parse_flags
from lpt.machine.disk import check_writable
from lpt.machine.files import write_json

if TYPE_CHECKING:
    from lpt.data.dataset import TrajectoryDataset


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


def run_info(command: Info) -> None:
    """Load and print a data set, and the results of the games if it comes from a games file.

    Raises:
        ValueError: unknown or malformed data, or figures are asked for of other than games.
        DiskError: the figures cannot be written.
    """
    with at_once():
        from lpt.data.formats.games import is_games_path
        from lpt.data.formats.games_behavior import describe_behavior, read_behavior
        from lpt.data.formats.mapped import is_mapped_path, verify
        from lpt.data.sources.load import load

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
    with at_once():
        from lpt.data.sources.convert import convert

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
