"""`dt`: the Decision Transformer with a return-to-go at every step, Chen et al. (2021).

`R_t = y - (r_0 + ... + r_{t-1})` is appended to the observation, in data and in rollouts, so that
model, sampler and policy need not know of it; a step is one token instead of three. It is the one
baseline that needs rewards at test time: `ReturnToGo` counts them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from lpt.algorithms.prompted import Prompted
from lpt.data import TrajectoryDataset
from lpt.data.blocks import empty_beside, release, trajectory_blocks


def with_return_to_go(dataset: TrajectoryDataset) -> TrajectoryDataset:
    """Return the data with `R_t` as the last entry of each observation, `[S, obs + 1]`.

    This copies the observations; those of a converted folder go to a temporary file in it.

    Raises:
        OSError: if there is no room for that file.
        ValueError: if observations are not standardized, so that raw returns would swamp them.
    """
    if not dataset.config.standardize_observations and np.abs(dataset.returns).max() > 10:
        raise ValueError(
            f"returns reach {np.abs(dataset.returns).max():g}, and "
            "dataset.standardize_observations is off: the return-to-go is an observation here, "
            "so turn it on"
        )
    shape = (dataset.num_steps, dataset.observation_dim + 1)
    observations = empty_beside(dataset.observations, shape, np.float32)
    earned = 0.0
    for part in trajectory_blocks(dataset.offsets):
        first, end = dataset.offsets[part.start], dataset.offsets[part.stop]
        running = np.cumsum(np.append(earned, dataset.rewards[first:end]), dtype=np.float64)
        before, earned = running[:-1], running[-1]
        begin = dataset.offsets[part] - first
        to_go = np.repeat(dataset.returns[part] + before[begin], dataset.lengths[part]) - before
        observations[first:end, :-1] = dataset.observations[first:end]
        observations[first:end, -1] = to_go
        release(dataset.observations, dataset.rewards, observations)
    observations.flags.writeable = False
    return replace(dataset, observations=observations, counts_down=True)


class ReturnToGo(gymnasium.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """Appends `target - (rewards so far)` to the observations of an environment."""

    def __init__(self, env: gymnasium.Env, target: float) -> None:
        """Wrap an environment.

        Args:
            env: with a vector (Box) of observations.
            target: return asked for at the episode's start, raw units.

        Raises:
            ValueError: for other observations.
        """
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise ValueError(
                f"observations are {space}; expected a vector: wrap the environment in "
                "gymnasium.wrappers.FlattenObservation first"
            )
        self.target, self.to_go = target, target
        low, high = (
            np.append(end, sign * np.inf) for end, sign in ((space.low, -1), (space.high, 1))
        )
        self.observation_space = Box(low.astype(np.float32), high.astype(np.float32))

    def reset(self, **kwargs: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """Reset; the whole target is to go again."""
        observation, info = self.env.reset(**kwargs)
        self.to_go = self.target
        return self._with_target(observation), info

    def step(self, action: Any) -> tuple[np.ndarray, Any, bool, bool, dict[str, Any]]:
        """Step; the reward is subtracted from what is to go."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self.to_go -= float(reward)
        return self._with_target(observation), reward, terminated, truncated, info

    def _with_target(self, observation: Any) -> np.ndarray:
        return np.append(np.asarray(observation, np.float32), np.float32(self.to_go))


@dataclass(frozen=True, kw_only=True)
class StepwisePrompted(Prompted):
    """The baseline whose observations end with the return-to-go."""

    observation_hint: ClassVar[str] = (
        "; the algorithm dt needs its environment wrapped in lpt.evaluation.ReturnToGo"
    )
    added_observations: ClassVar[int] = 1

    def training_data(self, dataset: TrajectoryDataset) -> TrajectoryDataset:
        """Return the data with the return-to-go; raises as `with_return_to_go`."""
        return with_return_to_go(dataset)

    def wrap(self, env: gymnasium.Env, target: float) -> gymnasium.Env:
        """Return the environment with the return-to-go; the caller's own wrapper is kept."""
        if isinstance(env, ReturnToGo):
            env.target = target
            return env
        return ReturnToGo(env, target)
