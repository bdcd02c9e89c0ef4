"""`lpt-bench speed`: how fast training, planning, rollouts and loading are on this machine.

Everything runs in one process with the run's threads, on random data of the preset's shapes. Where
others are measured beside this toolkit, repeats are interleaved (A B A B ...), so that whatever
else the machine does meets them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from lpt.bench.amounts import Amounts
from lpt.bench.breakdown import count_flops, split_update
from lpt.bench.contenders import Adapter, Contender, Toolkit, find_adapter
from lpt.bench.machine import describe_machine, peak_memory
from lpt.bench.measurements import (
    measure_loading,
    measure_planning,
    measure_rollouts,
    measure_training,
)
from lpt.bench.problem import Shapes, draw_trajectories, random_steps, shapes_of
from lpt.bench.profiling import profile_update
from lpt.bench.shares import measure_imports, run_shares
from lpt.checkpoint.metadata import current_versions
from lpt.config import Config, to_tree
from lpt.data import Provenance, find_task, write_d4rl
from lpt.evaluation.environments import MakeEnvironment, make_environment
from lpt.machine.device import find_device
from lpt.reporting.results import portable
from lpt.training.opening import start
from lpt.training.run import Run

COUNTING = (
    "transitions whose action likelihood (or other action loss) an update scores, a second; steps "
    "read as history only are not counted. lpt's clock includes its reading of data, the others' "
    "batches are on the device before theirs starts"
)
"""How transitions are counted, stated in every record."""
PROFILED = 5
"""Updates that are profiled, once by parts and once by kernels."""


def measure(
    config: Config,
    against: Sequence[str] = (),
    amounts: Amounts | None = None,
    log: Callable[[str], None] = print,
    profiled: bool = False,
) -> dict[str, Any]:
    """Measure this toolkit, beside others if asked.

    Args:
        config: of the run to measure; its data are not read.
        against: adapter files, or names of shipped adapters (`lpt.bench.contenders`).
        amounts: how much to measure; the defaults if None.
        log: receives a line before each part.
        profiled: also profile some updates (`lpt.bench.profiling`).

    Returns:
        The record that `lpt-bench speed --out` writes: `contenders` and `ratios`, `split_ms`,
        `flops`, `loading`, `peak_memory`, `run` (shares of a whole one) and, if asked, `profile`
        of this toolkit, and what they depend on.

    Raises:
        FileNotFoundError: there is no such adapter.
        ValueError: the preset's environment is unknown, an adapter is broken, or an option is out
            of range; all before any measurement.
    """
    amounts, device = amounts or Amounts(), find_device(config.device)
    torch.set_num_threads(config.training.threads)
    make_env = _environment(config)
    environment = make_env()
    shapes = shapes_of(config, environment, device)
    environment.close()
    steps = random_steps(shapes, amounts.rows)
    adapters = _adapters(against, shapes, make_env)
    for adapter in adapters:
        adapter.try_out([draw_trajectories(shapes, steps, seed) for seed in range(4)])
    record = {
        "preset": config.task,
        "machine": describe_machine(device),
        "versions": current_versions(),
        "amounts": {f.name: getattr(amounts, f.name) for f in fields(Amounts)},
        "shapes": {**asdict(shapes), "device": str(device)},
        "counting": COUNTING,
    }
    with TemporaryDirectory(prefix="lpt-bench-") as folder:
        path = Path(folder) / "data.hdf5"
        log(f"data: {len(steps['rewards'])} random steps of {config.task}")
        write_d4rl(path, steps, Provenance("random", config.task))
        del steps
        config = replace(config, source=str(path), out=Path(folder) / "run", results=None)
        run, found = _measurements(config, adapters, amounts, log, shapes.horizon)
        if profiled:
            log("profile")
            found["profile"] = profile_update(run.trainer, PROFILED)
        return {**record, **found}


def _measurements(
    config: Config,
    adapters: list[Adapter],
    amounts: Amounts,
    log: Callable[[str], None],
    horizon: int,
) -> tuple[Run, dict[str, Any]]:
    """Everything that is measured, from the data file on, and the run that it was measured with."""
    memory: dict[str, Any] = {}
    log("loading")
    loading = measure_loading(config, amounts)
    imports, began = measure_imports(amounts.repeats), time.perf_counter()
    run = start(config, log=lambda text: None)
    opening = time.perf_counter() - began
    device = run.trainer.device
    memory["loading"] = peak_memory(device)
    contenders: list[Contender] = [Toolkit(run), *adapters]
    log("training: " + ", ".join(contender.name for contender in contenders))
    training = measure_training(contenders, amounts, device)
    split = split_update(run.trainer, amounts)
    memory["training"] = peak_memory(device)
    log("planning and rollouts")
    counts = sorted({1, amounts.episodes})
    planning = {n: measure_planning(contenders, n, amounts, device) for n in counts}
    rollouts = measure_rollouts(contenders, amounts)
    memory["rollouts"] = peak_memory(device)
    log("FLOP/s")
    measured = _by_contender(contenders, training, planning, rollouts)
    plans = planning[counts[-1]].get(Toolkit.name)
    update_ms = training[Toolkit.name]["update_ms"]["median"]
    shares = run_shares(
        run.config,
        horizon,
        imports=imports,
        opening=opening,
        update_ms=update_ms,
        steps_per_second=rollouts[Toolkit.name]["steps_per_second"]["median"],
        plan_ms=plans["median"] / counts[-1] if plans else 0.0,
    )
    return run, {
        "contenders": measured,
        "ratios": _ratios(measured),
        "split_ms": split,
        "flops": count_flops(run, update_ms, amounts),
        "run": shares,
        "loading": loading,
        "peak_memory": memory,
        "config": portable(to_tree(replace(run.config, out=None, source="random"))),
    }


def _environment(config: Config) -> MakeEnvironment:
    task = find_task(config.task)
    env_id = config.env_id or (task.env_id if task else None)
    if env_id is None:
        raise ValueError(f"--preset {config.task} names no environment: give --env-id too")
    options = task.env_kwargs if task and not config.env_id else {}
    return partial(make_environment, env_id, **options)


def _adapters(names: Sequence[str], shapes: Shapes, make_env: MakeEnvironment) -> list[Adapter]:
    paths = [find_adapter(name) for name in names]
    stems = [Toolkit.name, *(path.stem for path in paths)]
    if len(set(stems)) < len(stems):
        raise ValueError(f"--against {' '.join(names)}: each file needs a name of its own, not lpt")
    return [Adapter(path, shapes, make_env) for path in paths]


def _by_contender(
    contenders: Sequence[Contender],
    training: dict[str, Any],
    planning: dict[int, dict[str, Any]],
    rollouts: dict[str, Any],
) -> dict[str, dict[str, Any]]:
    """Return the three measurements by contender; None where it has no such function."""
    return {
        c.name: {
            "training": training.get(c.name),
            "planning_ms": {str(n): planning[n].get(c.name) for n in sorted(planning)},
            "rollout": rollouts.get(c.name),
        }
        for c in contenders
    }


def _ratios(contenders: dict[str, dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """How many times faster this toolkit is than each other one, by medians; None where blank."""

    def speeds(record: dict[str, Any]) -> dict[str, float | None]:
        training, rollout = record["training"], record["rollout"]
        found = {
            "training": training and training["transitions_per_second"]["median"],
            "rollout": rollout and rollout["steps_per_second"]["median"],
        }
        for n, plans in record["planning_ms"].items():
            found[f"planning_{n}"] = plans and 1 / plans["median"]
        return found

    def over(ours: float | None, other: float | None) -> float | None:
        return None if ours is None or other is None else ours / other

    ours = speeds(contenders[Toolkit.name])
    return {
        name: {key: over(ours[key], other) for key, other in speeds(record).items()}
        for name, record in contenders.items()
        if name != Toolkit.name
    }
