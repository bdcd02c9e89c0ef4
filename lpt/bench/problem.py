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
    """Sizes of one problem; what an adapter's `build` is given.

    Attributes:
        task: name of the preset.
        observation_dim: entries of an observation.
        action_dim: entries of a continuous action, or number of discrete actions.
        discrete: whether actions are numbers.
        horizon: steps of every trajectory.
        trajectories: B, trajectories of a batch.
        segments: M, segments that this toolkit reads of each in an update; 0: it reads them whole.
        segment_steps: c, steps scored of each segment.
        context: steps of history that an action may depend on here.
        layers: Transformer blocks of the model here.
        heads: its attention heads.
        width: its width.
        device: where to compute.
    """

    task: str
    observation_dim: int
    action_dim: int
    discrete: bool
    horizon: int
    trajectories: int
    segments: int
    segment_steps: int
    context: int
    layers: int
    heads: int
    width: int
    device: torch.device


@dataclass(frozen=True, eq=False)
class Trajectories:
    """B whole trajectories on the device, T = horizon; what an adapter's `train_step` is given.

    Attributes:
        observations: `[B, T, obs]` float32.
        actions: `[B, T, act]` float32 in [-1, 1], or `[B, T]` int64.
        rewards: `[B, T]` float32.
        returns_to_go: `[B, T]` float32, rewards from each step on; at step 0 the return.
    """

    observations: Tensor
    actions: Tensor
    rewards: Tensor
    returns_to_go: Tensor


def shapes_of(config: Config, env: gymnasium.Env, device: torch.device) -> Shapes:
    """Returns the shapes of a run's configuration in its environment.

    Raises:
        ValueError: observations are no vector, or actions neither a vector nor numbers.
    """
    observation, action = env.observation_space, env.action_space
    if not isinstance(observation, Box) or not isinstance(action, Box | Discrete):
        raise ValueError(
            f"{config.env} has observations {observation} and actions {action}; expected a vector, "
            "and a vector or numbers: give another --preset or --env-id"
        )
    task, discrete = find_task(config.env), isinstance(action, Discrete)
    horizon = config.dataset.horizon or (task.horizon if task else 1000)
    return Shapes(
        task=config.env,
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
    """Returns random data under D4RL's keys: whole trajectories of `horizon` steps, seed 0.

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
    """Returns a batch of different trajectories of `random_steps`, on the device."""
    count = len(steps["rewards"]) // shapes.horizon
    index = np.random.default_rng(seed).permutation(count)[: shapes.trajectories]

    def take(key: str) -> np.ndarray:
        return steps[key].reshape(count, shapes.horizon, *steps[key].shape[1:])[index]

    to_go = take("rewards")[:, ::-1].cumsum(axis=1)[:, ::-1].copy()
    arrays = (take("observations"), take("actions"), take("rewards"), to_go)
    return Trajectories(*(torch.from_numpy(array).to(shapes.device) for array in arrays))
