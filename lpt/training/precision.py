"""A short trial at a run's start: in which precision this machine computes its products faster.

Its answer depends on the machine and on what else runs there, and the two precisions do not compute
the same. So nothing is tried unless `training.precision` is `auto`, and the run's configuration
then holds what was chosen: a resumed run goes on in it, and a repeated one can be told to.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import torch

from lpt.algorithms import find_algorithm
from lpt.config import Config, Precision
from lpt.data import TrajectoryDataset, TrajectorySampler
from lpt.machine.device import synchronize
from lpt.machine.precision import in_precision
from lpt.machine.processes import Ranks
from lpt.training.trainer import spaces_of

SECONDS, REPEATS = 0.1, 20
"""How long the trial takes at most, once each precision has been computed in twice; and how often
each is at most."""
STEPS = 512
"""How many steps a trial's batch has at most (or one trajectory)."""
GAIN = 1.1
"""How many times as fast bfloat16 has to be to be chosen: it costs accuracy."""


def with_precision(
    config: Config,
    dataset: TrajectoryDataset,
    device: torch.device,
    ranks: Ranks,
    log: Callable[[str], None],
) -> Config:
    """Return the configuration with `training.precision: auto` decided, for all processes alike."""
    if config.training.precision != "auto":
        return config
    gain = bfloat16_gain(config, dataset, device) if ranks.first else 0.0
    (lower,) = ranks.any(gain >= GAIN)
    chosen: Precision = "bfloat16" if lower else "float32"
    log(f"precision: {chosen}; bfloat16 was {gain:.2f} times as fast as float32 in a short trial")
    return replace(config, training=replace(config.training, precision=chosen))


def bfloat16_gain(config: Config, dataset: TrajectoryDataset, device: torch.device) -> float:
    """Return how many times as fast a little learning is in bfloat16 as in float32.

    A new model of the run's sizes learns from a part of a batch; the best of some repeats in turns.
    """
    if device.type not in ("cpu", "cuda"):
        return 0.0
    model = find_algorithm(config.algorithm).build(config.model, spaces_of(dataset)).to(device)
    batch = TrajectorySampler(dataset, config.sampler, config.model.context, config.seed).next()
    rows = max(1, STEPS // batch.weight[0].numel())
    parts = batch.observations, batch.previous_actions, batch.actions, batch.weight
    steps = [part[:rows].to(device) for part in parts]
    z = torch.randn(len(steps[0]), *model.plan_shape, device=device)

    def seconds(score: Callable[..., torch.Tensor]) -> float:
        synchronize(device)
        began = time.perf_counter()
        score(z, *steps).sum().backward()
        synchronize(device)
        return time.perf_counter() - began

    names: tuple[Precision, ...] = ("float32", "bfloat16")
    scores = {name: in_precision(model.log_actions, name, device) for name in names}
    for score in scores.values():  # kernels are prepared at their first call
        seconds(score)
    best = {name: seconds(score) for name, score in scores.items()}
    until = time.perf_counter() + SECONDS
    for _ in range(REPEATS):
        if time.perf_counter() > until:
            break
        best = {name: min(best[name], seconds(score)) for name, score in scores.items()}
    return best["float32"] / best["bfloat16"]
