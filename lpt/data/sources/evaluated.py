"""Where data are evaluated and for how many steps: file, task and environment need not agree."""

from __future__ import annotations

from lpt.config.trust import is_known
from lpt.data.dataset import TrajectoryDataset
from lpt.data.sources.source import Log
from lpt.data.tasks import Task
from lpt_envs.making import time_limit

_ENDS = "the environment ends after"


def horizon_of(env_id: str | None, task: Task | None) -> int | None:
    """Return the time limit of an environment; a task's own goes without making it."""
    if env_id is None:
        return None
    return task.horizon if task is not None and env_id == task.env_id else time_limit(env_id)


def for_environment(
    dataset: TrajectoryDataset,
    task: Task | None,
    env_id: str | None,
    asked: int | None,
    say: Log,
) -> TrajectoryDataset:
    """Return the data labeled with the time limit of the environment they are evaluated in.

    Says in one line what does not agree. The data's own environment is not asked if that would
    import a package that nobody else named (`lpt.config.trust`).

    Args:
        dataset: the data as they were read.
        task: the one asked for, None for one of one's own.
        env_id: environment asked for; None: the data's own.
        asked: the horizon that is configured, which goes before all others.
        say: receives the line.
    """
    record = dataset.provenance
    trusted = env_id is not None or record.env_id is None or is_known(record.env_id)
    env_id, before = env_id or record.env_id, dataset.config.horizon
    limit = horizon_of(env_id, task) if trusted else None
    if asked is None and limit is not None and limit != before:
        dataset = dataset.with_horizon(limit)
    if env_id is None:
        if task is not None and not task.files_fit:
            say(
                f"data: NOT evaluated: {task.env_id} has other observations than D4RL's own "
                f"environment; --source minari takes {task.minari_id}, which fits it"
            )
        return dataset
    line = _disagreement(dataset, task, env_id, {"asked for is": asked, _ENDS: limit}, before)
    if line:
        say(f"data: {line}; --dataset.horizon takes another")
    return dataset


def _disagreement(
    dataset: TrajectoryDataset,
    task: Task | None,
    env_id: str,
    said: dict[str, int | None],
    before: int | None,
) -> str:
    """Return what does not agree, where it is evaluated and for how long; nothing if all agree."""
    what = _difference(dataset, task, env_id)
    if task is None or what:  # how long a known task's data were recorded for is beside the point
        said["the file says"] = dataset.provenance.details.get("stored_horizon", before)
    if task is not None:
        said[f"{task.name} has"] = task.horizon
    used = dataset.config.horizon
    others = [f"{who} {steps}" for who, steps in said.items() if steps not in (None, used)]
    if not what and not others:
        return ""
    rest = f" ({', '.join(others)})" if others else ""
    what = what or "horizons differ"
    return f"{what}: evaluated in {env_id}, labeled with horizon {used}{rest}"


def _difference(dataset: TrajectoryDataset, task: Task | None, env_id: str) -> str:
    """Return how data and environment differ from the task, or from each other; else nothing."""
    record = dataset.provenance
    if task is not None and record.id != task.name:
        return f"this is {record.id}, not {task.name}"
    expected = record.env_id if task is None else task.env_id
    return "" if expected in (None, env_id) else f"another environment than {expected}"
