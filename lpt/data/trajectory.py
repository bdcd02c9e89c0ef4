"""One trajectory."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One trajectory of T steps: views into the data set's arrays."""

    observations: np.ndarray
    """`[T, observation_dim]`, raw units."""
    actions: np.ndarray
    """`[T, act_dim]` or `[T]`."""
    rewards: np.ndarray
    """`[T]`."""
    ret: float
    """The label y, raw units."""
    terminated: bool
    """Whether the task truly ended at the last step."""

    def __len__(self) -> int:
        return len(self.rewards)
