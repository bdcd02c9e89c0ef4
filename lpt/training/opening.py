"""Opening a run: its data, its trainer, and its folder, new or as it was left."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from lpt.algorithms import find_algorithm
from lpt.checkpoint.files import latest_checkpoint, list_checkpoints, load_policy_files
from lpt.config import Config, Device, from_tree, merge, to_tree, upgrade
from lpt.config.presets import starting_point
from lpt.config.trust import check_environment
from lpt.data import load
from lpt.data.formats.mapped import check_contents
from lpt.machine.device import find_device
from lpt.machine.disk import check_writable, writing
from lpt.machine.locks import NAME, FolderLock
from lpt.machine.processes import Ranks, join
from lpt.machine.temporaries import sweep
from lpt.training.run import Run
from lpt.training.trainer import Trainer

Log = Callable[[str], None]


def train(task: str | Config, log: Log = print, **settings: Any) -> Run:
    """Train and evaluate as `lpt-train` does; the run's folder holds policy and results.

    Args:
        task: a task with a preset, or a whole configuration.
        log: receives the lines to print.
        **settings: fields that differ from the preset's, such as `seed=1`, `updates=500` or
            `model={"width": 128}`.

    Raises:
        ValueError: for an unknown task or setting, or as `start`.
        FileNotFoundError: if there are no such data.
    """
    settings = upgrade(settings)
    config = starting_point(task, "source" in settings) if isinstance(task, str) else task
    if settings:
        config = from_tree(merge(to_tree(config), settings), "settings")
    run = start(config, log)
    run.train()
    run.finish()
    return run


def start(config: Config, log: Log = print) -> Run:
    """Open a new run.

    Under torchrun all processes open it, and the first one writes.

    Raises:
        ValueError: if the run folder is taken, or the settings do not fit the data or the machine.
        FileNotFoundError: if there are no such data.
        BlockingIOError: if another process begins a run there.
        DiskError: if nothing can be written there.
    """
    return _open(config, log)


def resume(
    folder: Path,
    log: Log = print,
    *,
    source: str | None = None,
    device: Device = "auto",
    results: Path | None = None,
    env_id: str | None = None,
) -> Run:
    """Open a run at its last checkpoint, with its own settings.

    Args:
        folder: the run's.
        log: receives the lines to print.
        source: where the data are now; unset: where they were.
        device: where to compute; auto: as before.
        results: folder for result files; unset: results/ in the run's folder, wherever the run was
            started with.
        env_id: environment to evaluate in; unset: the run's own.

    Raises:
        FileNotFoundError: if there is nothing to resume.
        ValueError: if the data are not those the run began with, the folder has links out of it, or
            the run's own environment would run unknown code.
        BlockingIOError: if another process trains there.
        DiskError: if nothing can be written there.
    """
    checkpoint = latest_checkpoint(folder)
    own = load_policy_files(checkpoint)[1].config
    _check_links(folder)
    if env_id is None and own.env_id is not None:
        env_id = check_environment(own.env_id, str(checkpoint))
    if own.results is not None and results is None:
        log(
            f"results go to {folder / 'results'}: the run was started with results in "
            f"{own.results}, which a file that others may have written does not decide; give "
            "--results to write there"
        )
    config = replace(
        own,
        out=folder,
        source=source or own.source,
        device=own.device if device == "auto" else device,
        results=results,
        env_id=env_id,
    )
    return _open(config, log, resuming=True)


def _open(config: Config, log: Log, *, resuming: bool = False) -> Run:
    device = find_device(config.device)
    ranks = join(device)
    lock = _claim(config, resuming) if ranks.first else None
    try:
        return _build(config, log, device, ranks, lock, resuming)
    except BaseException:
        if lock is not None:
            lock.abandon()
        raise


def _claim(config: Config, resuming: bool) -> FolderLock:
    """Hold the run's folder, and check that all that the run writes can be written.

    Raises:
        ValueError: a run lies there already.
        BlockingIOError: another process writes there.
        DiskError: nothing can be written there, or where the results go.
    """
    check_writable(config.run, folder=True)
    if not resuming:
        _check_free(config.run)
    with writing(config.run):
        lock = FolderLock(config.run)
    try:
        check_writable(config.run / "config.yaml")
        if config.results is not None:
            check_writable(config.results, folder=True)
        if not resuming:
            _check_free(config.run)  # another process may just have ended there
    except BaseException:
        lock.abandon()
        raise
    return lock


def _build(
    config: Config,
    log: Log,
    device: torch.device,
    ranks: Ranks,
    lock: FolderLock | None,
    resuming: bool,
) -> Run:
    """Return the run with its data and trainer, at its last checkpoint if it is resumed."""
    torch.set_num_threads(config.training.threads)
    log = log if ranks.first else _silent
    if not ranks.first:
        ranks.wait()  # the first process may have to make or download the data
    algorithm = find_algorithm(config.algorithm)
    discrete = config.model.discrete
    whole = load(config.task, config.dataset, config.source, discrete=discrete, log=log)
    if resuming and ranks.first:
        check_contents(whole)
    dataset = algorithm.training_data(whole)
    if len(dataset) < len(whole):
        log(f"{algorithm.name}: the {len(dataset)} trajectories of the highest returns")
    config = replace(config, sampler=algorithm.sampler(config.sampler, dataset))
    if ranks.first:
        ranks.wait()
    ranks.agree("data", dataset.provenance.fingerprint)
    trainer = Trainer(config, dataset, device, ranks)
    run = Run(config, trainer, log, lock)
    if resuming:  # found now that nobody else writes there
        run.restore(latest_checkpoint(config.run))
    ranks.agree("checkpoints, of update", str(trainer.updates))
    return run


def _check_free(folder: Path) -> None:
    """Raise ValueError if a run lies there already."""
    if not folder.is_dir():
        return
    sweep(folder)
    if any(path.name != NAME for path in folder.iterdir()):
        mend = (
            f"continue it with --resume {folder}"
            if list_checkpoints(folder)
            else "without a checkpoint: remove it"
        )
        raise ValueError(f"{folder} exists, {mend}, or write elsewhere with --out FOLDER")


def _check_links(folder: Path) -> None:
    """Raise ValueError if resuming would write through a link to somewhere else."""
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and inside not in path.resolve().parents:
            raise ValueError(
                f"{path} is a link to {path.resolve()}, outside of the run, which resuming would "
                "write to: remove the link, or put what it points to in its place"
            )


def _silent(text: str) -> None:
    """Say nothing: the first process of a run speaks for all."""
