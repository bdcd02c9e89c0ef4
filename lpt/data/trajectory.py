"""One trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One trajectory of T steps: views into the data set's arrays.

    Attributes:
        observations: `[T, obs_dim]`, raw units.
        actions: `[T, act_dim]` or `[T]`.
        rewards: `[T]`.
        ret: the label y, raw units.
        terminated: whether the task truly ended at the last step.
    """

    observations: np.ndarray
    actions: np.ndarray
    rewards: np.ndarray
    ret: float
    terminated: bool

    def __len__(self) -> int:
        return len(self.rewards)
