"""Environments whose actions have other bounds than [-1, 1], such as Pendulum's torque of ±2.

Data sets and models know actions in [-1, 1] only. Minari stores an environment's own units with
its action space; they are rescaled where they are read, the bounds are kept in the provenance
(``details["action_bounds"]``), and the policy answers in the environment's units again. Other
files hold [-1, 1], as D4RL's do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

KEY = "action_bounds"
"""Name in the details of a provenance."""


@dataclass(frozen=True, eq=False)
class ActionBounds:
    """Least and greatest action, each ``[act_dim]`` float32, finite, the least below."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of_space(cls, space: gym.Space) -> ActionBounds | None:
        """Bounds of a vector-valued Box; None where they are [-1, 1], infinite or no Box's."""
        if not isinstance(space, gym.spaces.Box):
            return None
        low, high = (np.asarray(x, np.float32).reshape(-1) for x in (space.low, space.high))
        usable = np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()
        if not usable or ((low == -1).all() and (high == 1).all()):
            return None
        return cls(low, high)

    @classmethod
    def of_details(cls, details: Mapping[str, Any]) -> ActionBounds | None:
        """Bounds that a provenance's details hold; None if they hold none."""
        if details.get(KEY) is None:
            return None
        low, high = (np.asarray(x, np.float32) for x in details[KEY])
        return cls(low, high)

    def to_details(self) -> list[list[float]]:
        """Plain numbers for a provenance's details."""
        return [self.low.tolist(), self.high.tolist()]

    def to_unit(self, actions: np.ndarray) -> np.ndarray:
        """Actions ``[..., act_dim]`` in the environment's units, mapped onto [-1, 1]; float32."""
        return (2 * (actions - self.low) / (self.high - self.low) - 1).astype(np.float32)

    def from_unit(self, actions: np.ndarray) -> np.ndarray:
        """Inverse of :meth:`to_unit`; never outside the bounds."""
        native = self.low + (actions + 1) * (self.high - self.low) / 2
        return np.clip(native, self.low, self.high).astype(np.float32)
