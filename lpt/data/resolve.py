"""From a task to one file or Minari id: found, downloaded or made, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from lpt.data.behaviour import actors_tag
from lpt.data.d4rl import write_d4rl
from lpt.data.d4rl_urls import MIRROR, d4rl_url
from lpt.data.download import OFFLINE, TIMEOUT, fetch, offline
from lpt.data.games import write_games
from lpt.data.minari_remote import is_local
from lpt.data.provenance import Provenance
from lpt.data.regenerate import NOISE, regenerate, regenerate_games
from lpt.data.tasks import Task
from lpt.data.transfer import DownloadError
from lpt_envs.connect_four.games import Games, shipped_games

SHIPPED_SEED = 0
"""Seed of the games that the package holds."""
SHORT_TIMEOUT = 5.0
"""Seconds that `auto` waits for D4RL's server where the data can be regenerated instead."""

Log = Callable[[str], None]


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
    if task.behaviour:
        options += f"-actors{actors_tag(task.name)}"
    suffix = ".hdf5" if task.mixture is None else ".games.xz"
    return data_folder() / f"{task.name}-v{task.version}-{options}{suffix}"


def generate_games(task: Task, steps: int | None, seed: int) -> tuple[Games, Provenance]:
    """Plays the games of a Connect Four task as `regenerate_games`, and shows a bar."""
    by_games = steps is None and task.games is not None
    total = task.games if by_games else steps or task.steps
    with progress_bar(task.name, total or 1, "game" if by_games else "step") as progress:
        return regenerate_games(task, steps=steps, seed=seed, progress=progress)


def resolve(
    task: Task, source: str, seed: int, steps: int | None, say: Log
) -> tuple[str | Path, str]:
    """Returns the file or Minari id of a task and the kind of source, making a file if need be.

    Args:
        task: whose data.
        source: `auto`, `d4rl`, `regenerated` or `shipped`, see `lpt.data.load`.
        seed: of regenerated data.
        steps: rows of regenerated data; None takes the published number.
        say: receives the lines to print.

    Raises:
        FileNotFoundError: there is no such data on this machine; says where to put it.
    """
    candidates = [d4rl_folder() / file for file in task.files]
    # Who asks for a size or a seed asks for regenerated data: nothing else has them.
    published = source == "auto" and steps is None and seed == 0
    in_minari = published and task.minari_id is not None and is_local(task.minari_id)
    if source == "d4rl" or (source == "auto" and (task.files_fit or not in_minari)):
        for path in candidates:
            if path.is_file():
                say(f"data: {task.name} from {path} (found in the D4RL cache)")
                return path, "d4rl"
    if in_minari and task.minari_id is not None:
        why = "no D4RL file" if task.files_fit else f"D4RL's files do not fit {task.env_id}"
        say(f"data: {task.name} from the local Minari data set {task.minari_id} ({why})")
        return task.minari_id, "minari"
    if source != "d4rl" and task.generated:
        if (found := _generated(task, source, seed, steps, say)) is not None:
            return found, "regenerated"
    reason = ""
    # `auto` downloads nothing that could not be evaluated here.
    if candidates and (source == "d4rl" or (published and task.files_fit)):
        reason = _download(task, source, candidates[0], say)
        if not reason:
            return candidates[0], "d4rl"
    if source == "d4rl" or not task.generated:
        raise FileNotFoundError(_no_d4rl_file(task, candidates, reason))
    path = regenerated_path(task, steps, seed)
    why = "asked for" if source == "regenerated" else _why_not_found(task)
    if published and candidates:
        why += f", and {OFFLINE} is set" if offline() else " and no download"
    _make(task, path, steps, seed, why, say)
    return path, "regenerated"


def _generated(task: Task, source: str, seed: int, steps: int | None, say: Log) -> Path | None:
    """Returns the file regenerated before or shipped, None if the data are still to be made."""
    path = regenerated_path(task, steps, seed)
    shipped = shipped_games(task.mixture or "")
    full = steps is None or (task.games is None and steps == task.steps)
    has_shipped = shipped.is_file() and full and seed == SHIPPED_SEED
    if source == "shipped":
        if not has_shipped:
            raise FileNotFoundError(_not_shipped(task, steps, seed, shipped))
        say(f"data: {task.name} from {shipped} (shipped with the package; asked for)")
        return shipped
    if path.is_file():
        why = "asked for" if source == "regenerated" else _why_not_found(task)
        if has_shipped and source == "auto":
            why = "goes before the one shipped with the package"
        elif task.files and source == "auto":
            why += ": --data d4rl downloads one"
        say(f"data: {task.name} from {path} (regenerated before; {why})")
        return path
    if source == "auto" and has_shipped:
        say(f"data: {task.name} from {shipped} (shipped with the package; none at {path})")
        return shipped
    return None


def _download(task: Task, source: str, path: Path, say: Log) -> str:
    """Downloads D4RL's file of a task to `path`; returns the reason if that cannot be done."""
    url = d4rl_url(task.name)
    if url is None:
        return f"D4RL has no address of {task.name}"
    short = source == "auto" and task.generated  # there is another way, not worth waiting for
    if short and offline():
        return f"{OFFLINE} is set"
    try:
        fetch(url, path, timeout=SHORT_TIMEOUT if short else TIMEOUT, say=say)
    except OSError as error:
        reason = error.reason if isinstance(error, DownloadError) else f"{url}: {error}"
        if short:
            say(f"data: {task.name} was not downloaded from {reason}")
        return reason
    say(f"data: {task.name} from {path} (downloaded now from {url})")
    return ""


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


def _no_d4rl_file(task: Task, candidates: list[Path], reason: str) -> str:
    if not candidates:
        return f"{task.name}: D4RL has no such data. Take source auto, regenerated or shipped."
    text = f"{task.name}: no D4RL file at {' or '.join(map(str, candidates))}"
    if reason:
        text += f", and none was downloaded ({reason.rstrip('.')})"
    text += (
        ". Put the file there, set D4RL_DATASET_DIR to its folder, give its path as the source, or "
        f"set {MIRROR} to a mirror."
    )
    if not task.files_fit:
        return (
            f"{text} --data d4rl downloads it; policies trained on it cannot act in {task.env_id}. "
            f"--data minari downloads {task.minari_id}, made in that environment (or run 'minari "
            f"download {task.minari_id}')."
        )
    if not task.generated:
        text += " It cannot be regenerated here"
        expert = "expert" in task.name and not task.name.startswith("ant")
        text += " before scripts/train_behaviour.py has trained an expert." if expert else "."
    return text


def _not_shipped(task: Task, steps: int | None, seed: int, shipped: Path) -> str:
    if not shipped.is_file():
        return f"{task.name}: the package holds no such data. Take source auto."
    return (
        f"{task.name}: the package holds the data of seed {SHIPPED_SEED} in their full size, not "
        f"steps={steps} with seed={seed}. Take source auto."
    )


def _why_not_found(task: Task) -> str:
    if task.files:
        return f"no D4RL file in {d4rl_folder()}"
    return f"the package holds only seed {SHIPPED_SEED} in full size"


@contextmanager
def progress_bar(name: str, rows: int, unit: str = "step") -> Iterator[Callable[[int, int], None]]:
    """Shows a bar on stderr; yields the callback (rows done, rows) that generators take."""
    with tqdm(total=rows, desc=name, unit=unit, unit_scale=True, file=sys.stderr) as bar:

        def update(done: int, _: int) -> None:
            bar.update(done - bar.n)

        yield update
