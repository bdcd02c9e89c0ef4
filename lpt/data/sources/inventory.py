"""What data are on this machine, wherever they are looked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import minari
from minari.storage import get_dataset_path

from lpt.data.formats.files import SUFFIXES
from lpt.data.sources.folders import d4rl_folder, data_folder
from lpt.data.tasks import TASKS


@dataclass(frozen=True)
class Holding:
    """One data set that can be read now."""

    name: str
    """What `lpt-data show` takes: a task, a Minari id, or a path."""
    source: str
    """`d4rl`, `minari`, `regenerated`, `shipped`, or `file` for one's own."""
    place: Path
    """File or folder."""

    @property
    def megabytes(self) -> float:
        """Size on the disk."""
        if self.place.is_dir():
            return sum(p.stat().st_size for p in self.place.rglob("*") if p.is_file()) / 1e6
        return self.place.stat().st_size / 1e6


def inventory(folder: Path | None = None) -> list[Holding]:
    """Return all data sets on this machine, and the files in a folder of one's own.

    Args:
        folder: where files of one's own are; None: the working folder.
    """
    return [*_of_tasks(), *_of_minari(), *_regenerated(), *_files(folder or Path())]


def _of_tasks() -> Iterator[Holding]:
    for task in TASKS.values():
        paths = [d4rl_folder() / name for name in task.files]
        yield from (Holding(task.name, "d4rl", path) for path in paths if path.is_file())
        if task.recipe is not None and task.recipe.shipped is not None:
            yield Holding(task.name, "shipped", task.recipe.shipped)


def _of_minari() -> Iterator[Holding]:
    for name in sorted(minari.list_local_datasets()):
        yield Holding(name, "minari", Path(get_dataset_path(name)))


def _regenerated() -> Iterator[Holding]:
    for path in _data_files(data_folder()):
        task = max((name for name in TASKS if path.name.startswith(f"{name}-v")), default=None)
        yield Holding(task or str(path), "regenerated", path)


def _files(folder: Path) -> Iterator[Holding]:
    yield from (Holding(str(path), "file", path) for path in _data_files(folder))


def _data_files(folder: Path) -> list[Path]:
    found = folder.glob("*") if folder.is_dir() else ()
    return sorted(p for p in found if p.name.lower().endswith(SUFFIXES) and p.name[0] != ".")
