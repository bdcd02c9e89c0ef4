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
from lpt.config.presets import PLAIN, family_names, starting_point
from lpt.config.trust import check_environment
from lpt.data import find_task, load
from lpt.data.formats.mapped import check_contents
from lpt.machine.device import find_device
from lpt.machine.disk import check_writable, writing
from lpt.machine.locks import NAME, FolderLock
from lpt.machine.processes import Ranks, join
from lpt.machine.temporaries import sweep
from lpt.training.initial import begin_from
from lpt.training.precision import with_precision
from lpt.training.run import Run
from lpt.training.trainer import Trainer

Log = Callable[[str], None]


def train(task: str | Config, log: Log = print, **settings: Any) -> Run:
    """Train and evaluate as `lpt-train` does; the run's folder holds policy and results.

    Args:
        task: a task with a preset, or a whole configuration.
        log: receives the lines to print.
        **settings: fields that differ from the preset's, such as `seed=1`, `updates=500` or
            `model={"width": 128}`; `preset="maze2d"` names another preset than the task's.

    Raises:
        ValueError: for an unknown task or setting, or as `start`.
        FileNotFoundError: if there are no such data.
    """
    settings = upgrade(settings)
    if isinstance(task, str):
        config = starting_point(task, "source" in settings, settings.get("preset"))
    else:
        config = task
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
    if config.preset == PLAIN:
        others = ", ".join(name for name in family_names() if name != PLAIN)
        log(f"settings: plain, not tuned for {config.task}; others: --preset {others} or a task")
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
    return _continue(folder, 0, log, source, device, results, env_id)


def extend(
    folder: Path,
    updates: int,
    log: Log = print,
    *,
    source: str | None = None,
    device: Device = "auto",
    results: Path | None = None,
    env_id: str | None = None,
) -> Run:
    """Open a run at its last checkpoint, to go on for longer than it was made for.

    The learning rate rises again to where it would be in a run of that length, and then falls to
    zero. From here on `resume` too goes on to the new end.

    Args:
        folder: the run's.
        updates: how many more than the run was made for.
        log: receives the lines to print.
        source: as in `resume`.
        device: as in `resume`.
        results: as in `resume`.
        env_id: as in `resume`.

    Raises:
        FileNotFoundError: if there is no run.
        ValueError: if the number is below one, or as `resume`.
        BlockingIOError: if another process trains there.
        DiskError: if nothing can be written there.
    """
    if updates < 1:
        raise ValueError(f"--steps {updates}: a run is extended by at least one update")
    run = _continue(folder, updates, log, source, device, results, env_id)
    run.log(f"extended by {updates} to {run.config.updates} updates")
    with run.alone():
        run.save()
    return run


def _continue(
    folder: Path,
    more: int,
    log: Log,
    source: str | None,
    device: Device,
    results: Path | None,
    env_id: str | None,
) -> Run:
    checkpoint = latest_checkpoint(folder)
    metadata = load_policy_files(checkpoint)[1]
    own, data = metadata.config, metadata.provenance.get("details", {})
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
        updates=own.updates + more,
        source=source or own.source,
        device=own.device if device == "auto" else device,
        results=results,
        env_id=env_id,
        # Labels stay as they are, wherever the policy is evaluated from now on.
        dataset=replace(own.dataset, horizon=own.dataset.horizon or data.get("horizon")),
    )
    return _open(config, log, resuming=True)


def _open(config: Config, log: Log, *, resuming: bool = False) -> Run:
    known = find_task(config.task)
    if known is not None:  # hopper-medium-v2 is hopper-medium, in folders and tables too
        config = replace(config, task=known.name)
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
    kind: dict[str, Any] = {"discrete": config.model.discrete, "env_id": config.env_id}
    whole = load(config.task, config.dataset, config.source, **kind, log=log)
    if resuming and ranks.first:
        check_contents(whole)
    dataset = algorithm.training_data(whole)
    if len(dataset) < len(whole):
        log(f"{algorithm.name}: the {len(dataset)} trajectories of the highest returns")
    fitting = config.sampler.fitted(len(dataset))
    if fitting != config.sampler:
        each = f"{fitting.segments} segments of each" if fitting.segments else "whole"
        log(f"sampler: a batch is all {len(dataset)} trajectories there are, {each}")
    config = replace(config, sampler=fitting)
    if config.posterior.trajectories > len(dataset):
        log(f"posterior: chains of all {len(dataset)} trajectories there are move in an update")
        config = replace(config, posterior=replace(config.posterior, trajectories=len(dataset)))
    if ranks.first:
        ranks.wait()
    ranks.agree("data", dataset.provenance.fingerprint)
    config = with_precision(config, dataset, device, ranks, log)
    trainer = Trainer(config, dataset, device, ranks, log)
    if config.init_from is not None and not resuming:
        begin_from(trainer, config.init_from, log)
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
    inside, mirrored = folder.resolve(), folder / "wandb"
    for path in folder.rglob("*"):
        if path.name == "debug-core.log" and mirrored in path.parents:
            continue  # wandb's own, to its cache; it begins a folder of its own each time
        if path.is_symlink() and inside not in path.resolve().parents:
            raise ValueError(
                f"{path} is a link to {path.resolve()}, outside of the run, which resuming would "
                "write to: remove the link, or put what it points to in its place"
            )


def _silent(text: str) -> None:
    """Say nothing: the first process of a run speaks for all."""
