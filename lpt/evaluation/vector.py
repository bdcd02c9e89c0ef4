"""Gymnasium's vector environments: which rows of their observations begin an episode.

After an episode's end the three autoreset modes give different observations:

    NEXT_STEP   the last one of the old episode; the next step ignores the action and resets
    SAME_STEP   the first one of the new episode
    DISABLED    the last one of the old episode, until `reset(options={"reset_mask": ended})`

So in the mode NEXT_STEP, gymnasium's default, `episode_start=terminated | truncated` is one step
early: the policy would take the old episode's last observation for the new one's first.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode


class EpisodeStarts:
    """Turns the outputs of a vector environment into `predict`'s `episode_start`.

    ::

        starts = EpisodeStarts(envs)
        observations, infos = envs.reset(seed=0)
        state, start = None, starts.reset()
        for _ in range(1000):
            actions, state = policy.predict(observations, state, start)
            observations, rewards, terminated, truncated, infos = envs.step(actions)
            start = starts.step(terminated, truncated)

    In the mode DISABLED the rows that `start` names are the ones to reset before the next action.
    """

    def __init__(self, envs: Any) -> None:
        """Read the mode of a `gymnasium.vector.VectorEnv`.

        Raises:
            ValueError: if it names none; an environment of stable-baselines3 needs no helper.
        """
        mode = (getattr(envs, "metadata", None) or {}).get("autoreset_mode")
        if not isinstance(mode, AutoresetMode):
            raise ValueError(
                f"{type(envs).__name__} has no autoreset_mode: give a gymnasium.vector environment "
                "(those of stable-baselines3 reset in the same step: pass their dones on)"
            )
        self.mode, self.rows = mode, int(envs.num_envs)
        self._ended = np.zeros(self.rows, bool)

    def reset(self) -> np.ndarray:
        """Return `[n]` true everywhere: all rows begin."""
        self._ended = np.zeros(self.rows, bool)
        return np.ones(self.rows, bool)

    def step(self, terminated: Any, truncated: Any) -> np.ndarray:
        """Return `[n]` true where the next observation to act on begins an episode.

        Args:
            terminated: `[n]` of the step.
            truncated: `[n]` of the step.
        """
        ended: np.ndarray = np.asarray(terminated, bool) | np.asarray(truncated, bool)
        if self.mode is not AutoresetMode.NEXT_STEP:
            return ended
        starts, self._ended = self._ended, ended
        return starts
