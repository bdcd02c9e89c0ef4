"""Data that this toolkit makes: regenerated before, shipped with the package, or made now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from lpt.data.recipes.recipe import Made, Size
from lpt.data.sources.folders import d4rl_folder, regenerated_path, spare_folder
from lpt.data.sources.source import Found, Log, Missing, Request
from lpt.data.tasks import Task
from lpt.machine.disk import DiskError
from lpt.machine.offline import OFFLINE, offline

SHIPPED_SEED = 0
"""Seed of the data that the package holds."""


class Regenerated:
    """The files regenerated before, in `LPT_DATA_DIR`."""

    name = "regenerated"

    def find(self, request: Request) -> Found | Missing:
        """Find the file of the task, size and seed."""
        task = request.task
        if task is None or request.recipe is None:
            return Missing()
        path, spare = regenerated_path(task, request.steps, request.seed), spare_folder()
        if not path.is_file() and spare is not None:
            path = spare / path.name
        if not path.is_file():
            return Missing()
        why = _why_made(request, task)
        if request.auto and _shipped(request) is not None:
            why = "goes before the one shipped with the package"
        elif request.auto and task.files:
            why += ": --source d4rl downloads one"
        request.say(f"data: {task.name} from {path} (regenerated before; {why})")
        return Found(path, "regenerated")


class Shipped:
    """The files in the package."""

    name = "shipped"

    def find(self, request: Request) -> Found | Missing:
        """Find the task's file, where its size and seed are those asked for.

        Raises:
            FileNotFoundError: asked for by name, it is not there.
        """
        task, recipe = request.task, request.recipe
        if task is None or recipe is None:
            return Missing()
        path = _shipped(request)
        if path is None and request.auto:
            return Missing()
        if path is None:
            raise FileNotFoundError(_not_shipped(request, recipe.shipped))
        kept = regenerated_path(task, request.steps, request.seed)
        why = f"none at {kept}" if request.auto else "asked for"
        request.say(f"data: {task.name} from {path} (shipped with the package; {why})")
        return Found(path, "regenerated")


class Making:
    """The task's own recipe."""

    name = "regenerated"

    def find(self, request: Request) -> Found | Missing:
        """Make the data and keep them where `Regenerated` looks.

        Raises:
            ValueError: the size or seed is out of range.
        """
        task, recipe = request.task, request.recipe
        if task is None or recipe is None:
            return Missing()
        path, size = regenerated_path(task, request.steps, request.seed), recipe.size(request.steps)
        why = _why_made(request, task)
        if request.auto and request.published and task.files:
            why += f", and {OFFLINE} is set" if offline() else " and no download"
        request.say(
            f"data: {task.name} regenerated now, {size} with seed {request.seed}, kept in {path} "
            f"({why})"
        )
        with progress_bar(task.name, size) as progress:
            made = task.make(steps=request.steps, seed=request.seed, progress=progress)
        return Found(_keep(made, path, request.say), "regenerated")


def _keep(made: Made, path: Path, say: Log) -> Path:
    """Write made data, to the spare folder if not to `path`; returns where they are.

    Another process may have made the same file meanwhile: the same bytes, so replacing is safe.
    """
    try:
        made.write(path, overwrite=True)
        return path
    except DiskError as error:
        folder = spare_folder()
        if folder is None:
            raise
        say(f"data: {error}; kept in {folder} instead")
    folder.mkdir(mode=0o700, exist_ok=True)
    made.write(folder / path.name, overwrite=True)
    return folder / path.name


@contextmanager
def progress_bar(name: str, size: Size) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on stderr; yields the callback (done, all) that generators take."""
    options = {"total": size.count, "unit": size.unit, "unit_scale": True}
    with tqdm(desc=name, file=sys.stderr, **options) as bar:

        def update(done: int, _: int) -> None:
            bar.update(done - bar.n)

        yield update


def _shipped(request: Request) -> Path | None:
    """Return the package's file, None unless it holds just the data asked for."""
    recipe = request.recipe
    if recipe is None or recipe.size(request.steps) != recipe.size():
        return None
    return recipe.shipped if request.seed == SHIPPED_SEED else None


def _not_shipped(request: Request, shipped: Path | None) -> str:
    if shipped is None:
        return f"{request.name}: the package holds no such data. Take source auto."
    return (
        f"{request.name}: the package holds the data of seed {SHIPPED_SEED} in their full size, "
        f"not steps={request.steps} with seed={request.seed}. Take source auto."
    )


def _why_made(request: Request, task: Task) -> str:
    """Return why made data are taken."""
    if not request.auto:
        return "asked for"
    if task.files:
        return f"no D4RL file in {d4rl_folder()}"
    if request.recipe is not None and request.recipe.shipped is not None:
        return f"the package holds only seed {SHIPPED_SEED} in full size"
    return "no such data are published"
