"""The measurements: each interleaved over the contenders, with a warm-up before the repeats."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import gymnasium
import numpy as np
import torch

from lpt.bench.amounts import Amounts
from lpt.bench.contenders import Contender
from lpt.bench.machine import seconds_per_call, summary
from lpt.config import Config
from lpt.data import load

Measured = TypeVar("Measured")


def interleaved(
    contenders: Sequence[Contender], measured: Callable[[Contender], Measured], repeats: int
) -> dict[str, list[Measured]]:
    """Values by contender, after a warm-up of each."""
    for contender in contenders:
        measured(contender)
    values: dict[str, list[Measured]] = {contender.name: [] for contender in contenders}
    for _ in range(repeats):
        for contender in contenders:
            values[contender.name].append(measured(contender))
    return values


def measure_loading(config: Config, amounts: Amounts) -> dict[str, Any]:
    """Seconds to load the whole file, read from the operating system's cache."""
    discrete = config.model.discrete
    seconds = []
    for _ in range(amounts.repeats + 1):
        began = time.perf_counter()
        data = load(config.task, config.dataset, config.source, discrete=discrete, log=None)
        seconds.append(time.perf_counter() - began)
        steps = data.num_steps
    return {"seconds": summary(seconds[1:]), "steps": steps, "format": "hdf5 (gzip)"}


def measure_training(
    contenders: Sequence[Contender], amounts: Amounts, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Transitions a second and an update, and milliseconds an update: summaries by contender."""

    def rate(contender: Contender) -> tuple[float, float]:
        counts: list[Any] = []
        seconds = seconds_per_call(
            lambda: counts.append(contender.train_step()), device, amounts.seconds
        )
        return float(sum(counts)) / len(counts), seconds

    able = [contender for contender in contenders if contender.can("train_step")]
    values = interleaved(able, rate, amounts.repeats)
    return {
        name: {
            "transitions_per_second": summary(count / seconds for count, seconds in pairs),
            "transitions_per_update": summary(count for count, _ in pairs),
            "update_ms": summary(1000 * seconds for _, seconds in pairs),
        }
        for name, pairs in values.items()
    }


def measure_planning(
    contenders: Sequence[Contender], n: int, amounts: Amounts, device: torch.device
) -> dict[str, dict[str, Any]]:
    """Milliseconds to make `n` plans at once."""
    able = [contender for contender in contenders if contender.can("plan")]
    values = interleaved(
        able,
        lambda c: 1000 * seconds_per_call(lambda: c.plan(n), device, amounts.seconds),
        amounts.repeats,
    )
    return {name: summary(milliseconds) for name, milliseconds in values.items()}


def measure_rollouts(
    contenders: Sequence[Contender], amounts: Amounts
) -> dict[str, dict[str, Any]]:
    """Environment steps a second, and milliseconds a step of all episodes by part.

    Returns:
        By contender: `steps_per_second`, `policy_ms` and `environment_ms` (resets included).
    """
    able = [contender for contender in contenders if contender.can("act")]
    worlds = {c.name: [c.environment() for _ in range(amounts.episodes)] for c in able}
    try:
        values = interleaved(
            able, lambda c: roll(c, worlds[c.name], amounts.rollout_steps), amounts.repeats
        )
    finally:
        for environment in (e for environments in worlds.values() for e in environments):
            environment.close()
    count = amounts.rollout_steps
    return {
        name: {
            "steps_per_second": summary(amounts.episodes * count / sum(pair) for pair in pairs),
            "policy_ms": summary(1000 * policy / count for policy, _ in pairs),
            "environment_ms": summary(1000 * world / count for _, world in pairs),
        }
        for name, pairs in values.items()
    }


def roll(
    contender: Contender, environments: Sequence[gymnasium.Env], steps: int
) -> tuple[float, float]:
    """Step all environments side by side; one whose episode ends is reset and goes on.

    Args:
        contender: who acts; planning and the first reset are outside the clock.
        environments: `n` of them.
        steps: steps of each.

    Returns:
        Seconds in the policy and seconds in the environments, resets included.
    """
    current = np.stack(
        [np.asarray(e.reset(seed=i)[0], np.float32) for i, e in enumerate(environments)]
    )
    starts = np.zeros(len(environments), bool)
    contender.reset(len(environments))
    with contender.acting():
        return _step_all(contender, environments, steps, current, starts)


def _step_all(
    contender: Contender,
    environments: Sequence[gymnasium.Env],
    steps: int,
    current: np.ndarray,
    starts: np.ndarray,
) -> tuple[float, float]:
    """Return the seconds of policy and environments; `current` and `starts` change."""
    policy = world = 0.0
    for _ in range(steps):
        began = time.perf_counter()
        actions = contender.act(current, starts)
        acted = time.perf_counter()
        if actions.ndim == 1:
            actions = actions.tolist()
        for i, environment in enumerate(environments):
            current[i], _, terminated, truncated, _ = environment.step(actions[i])
            starts[i] = terminated or truncated
            if starts[i]:
                current[i] = environment.reset()[0]
        policy, world = policy + acted - began, world + time.perf_counter() - acted
    return policy, world
