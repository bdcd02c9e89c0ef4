"""What is measured: a preset's true shapes with random data in them. No download."""

from __future__ import annotations

from dataclasses import dataclass

import gymnasium
import numpy as np
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from lpt.config import Config
from lpt.data import find_task


@dataclass(frozen=True, kw_only=True)
class Shapes:
    """Sizes of one problem; what an adapter's `build` is given."""

    task: str
    """Name of the preset."""
    observation_dim: int
    """Entries of an observation."""
    action_dim: int
    """Entries of a continuous action, or number of discrete actions."""
    discrete: bool
    """Whether actions are numbers."""
    horizon: int
    """Steps of every trajectory."""
    trajectories: int
    """B, trajectories of a batch."""
    segments: int
    """M, segments that this toolkit reads of each in an update; 0: it reads them whole."""
    segment_steps: int
    """C, steps scored of each segment."""
    context: int
    """Steps of history that an action may depend on here."""
    layers: int
    """Transformer blocks of the model here."""
    heads: int
    """Its attention heads."""
    width: int
    """Its width."""
    device: torch.device
    """Where to compute."""


@dataclass(frozen=True, eq=False)
class Trajectories:
    """B whole trajectories on the device, T = horizon; what an adapter's `train_step` is given."""

    observations: Tensor
    """`[B, T, obs]` float32."""
    actions: Tensor
    """`[B, T, act]` float32 in [-1, 1], or `[B, T]` int64."""
    rewards: Tensor
    """`[B, T]` float32."""
    returns_to_go: Tensor
    """`[B, T]` float32, rewards from each step on; at step 0 the return."""


def shapes_of(config: Config, env: gymnasium.Env, device: torch.device) -> Shapes:
    """Return the shapes of a run's configuration in its environment.

    Raises:
        ValueError: observations are no vector, or actions neither a vector nor numbers.
    """
    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, Box) or not isinstance(action, Box | Discrete):
        raise ValueError(
            f"{config.task} has observations {observation} and actions {action}; expected a "
            "vector, and a vector or numbers: give another --preset or --env-id"
        )
    task, discrete = find_task(config.task), isinstance(action, Discrete)
    horizon = config.dataset.horizon or (task.horizon if task else 1000)
    return Shapes(
        task=config.task,
        observation_dim=observation.shape[0],
        action_dim=int(action.n) if isinstance(action, Discrete) else action.shape[0],
        discrete=discrete,
        horizon=horizon,
        trajectories=config.sampler.batch_trajectories,
        segments=config.sampler.segments,
        segment_steps=config.sampler.segment_steps,
        context=config.model.context,
        layers=config.model.layers,
        heads=config.model.heads,
        width=config.model.width,
        device=device,
    )


def random_steps(shapes: Shapes, rows: int) -> dict[str, np.ndarray]:
    """Return random data under D4RL's keys: whole trajectories of `horizon` steps, seed 0.

    Args:
        shapes: of the problem.
        rows: number of steps, rounded down to whole trajectories.

    Raises:
        ValueError: `rows` holds fewer trajectories than a batch.
    """
    count = rows // shapes.horizon
    if count < shapes.trajectories:
        raise ValueError(
            f"--rows {rows}: a batch is {shapes.trajectories} trajectories of {shapes.horizon} "
            f"steps: give at least {shapes.trajectories * shapes.horizon}, or a smaller "
            "--sampler.batch-trajectories"
        )
    rng, steps = np.random.default_rng(0), count * shapes.horizon
    if shapes.discrete:
        actions: np.ndarray = rng.integers(shapes.action_dim, size=steps)
    else:
        actions = 2 * rng.random((steps, shapes.action_dim), np.float32) - 1
    ends = np.zeros(steps, bool)
    ends[shapes.horizon - 1 :: shapes.horizon] = True
    return {
        "observations": rng.standard_normal((steps, shapes.observation_dim), np.float32),
        "actions": actions,
        "rewards": rng.standard_normal(steps, np.float32),
        "terminals": np.zeros(steps, bool),
        "timeouts": ends,
    }


def draw_trajectories(shapes: Shapes, steps: dict[str, np.ndarray], seed: int) -> Trajectories:
    """Return a batch of different trajectories of `random_steps`, on the device."""
    count = len(steps["rewards"]) // shapes.horizon
    index = np.random.default_rng(seed).permutation(count)[: shapes.trajectories]

    def take(key: str) -> np.ndarray:
        return steps[key].reshape(count, shapes.horizon, *steps[key].shape[1:])[index]

    to_go = take("rewards")[:, ::-1].cumsum(axis=1)[:, ::-1].copy()
    arrays = (take("observations"), take("actions"), take("rewards"), to_go)
    return Trajectories(*(torch.from_numpy(array).to(shapes.device) for array in arrays))
