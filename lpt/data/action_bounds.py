"""Environments whose actions have other bounds than [-1, 1], such as Pendulum's torque of ±2.

Data sets and models know actions in [-1, 1] only. Minari stores an environment's own units with
its action space; they are rescaled where they are read, the bounds are kept in the provenance
(`details["action_bounds"]`), and the policy answers in the environment's units again. Other
files hold [-1, 1], as D4RL's do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium as gym
import numpy as np

DETAIL = "action_bounds"
"""Name in the details of a provenance."""
LARGEST = 1e6
"""Bounds beyond this only say that there are none."""


@dataclass(frozen=True, eq=False)
class ActionBounds:
    """Least and greatest action, each `[act_dim]` float32; -1 and 1 where there is no bound."""

    low: np.ndarray
    high: np.ndarray

    @classmethod
    def of_space(cls, space: gym.Space[Any]) -> ActionBounds | None:
        """Return the bounds of a Box of floats; None for other spaces and for [-1, 1]."""
        if not isinstance(space, gym.spaces.Box) or space.dtype.kind != "f":
            return None
        low, high = (np.asarray(x, np.float64).reshape(-1) for x in (space.low, space.high))
        bounded = np.maximum(np.abs(low), np.abs(high)) <= LARGEST
        # Rounded inwards: the nearest float32 of 0.1 is above it.
        low, high = (
            _float32(np.where(bounded, low, -1), 1),
            _float32(np.where(bounded, high, 1), -1),
        )
        return None if ((low == -1) & (high == 1)).all() else cls(low, high)

    @classmethod
    def of_details(cls, details: Mapping[str, Any]) -> ActionBounds | None:
        """Return the bounds that a provenance's details hold; None if they hold none."""
        if details.get(DETAIL) is None:
            return None
        low, high = (np.asarray(x, np.float32) for x in details[DETAIL])
        return cls(low, high)

    @classmethod
    def unit(cls, size: int) -> ActionBounds:
        """Return [-1, 1] in `size` dimensions."""
        return cls(-np.ones(size, np.float32), np.ones(size, np.float32))

    def to_details(self) -> list[list[float]]:
        """Return plain numbers for a provenance's details."""
        return [self.low.tolist(), self.high.tolist()]

    def to_unit(self, actions: np.ndarray) -> np.ndarray:
        """Map actions `[..., act_dim]` in the environment's units onto [-1, 1]; float32.

        What lies outside other bounds than [-1, 1] is clipped to them, as simulators do.
        """
        middle, half = self._middle_and_half()
        unit = (actions.astype(np.float64) - middle) / np.where(half > 0, half, 1)
        return np.asarray(np.where(self._unit, actions, np.clip(unit, -1, 1)), np.float32)

    def from_unit(self, actions: np.ndarray) -> np.ndarray:
        """Return the inverse of `to_unit`; float32, never outside the bounds."""
        middle, half = self._middle_and_half()
        values = (middle + actions * half).astype(np.float32)
        return np.asarray(np.clip(values, self.low, self.high))

    def outside(self, actions: np.ndarray) -> int:
        """Count rows of `[steps, act_dim]`, in the environment's units, that `to_unit` clips."""
        slack = 1e-5 * (self.high - self.low)
        beyond = (actions < self.low - slack) | (actions > self.high + slack)
        return int((beyond & ~self._unit).any(-1).sum())

    @property
    def _unit(self) -> np.ndarray:
        """`[act_dim]` whether a dimension is in [-1, 1] already."""
        return np.asarray((self.low == -1) & (self.high == 1))

    def _middle_and_half(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = self.low.astype(np.float64), self.high.astype(np.float64)
        return (high + low) / 2, (high - low) / 2


def _float32(values: np.ndarray, inwards: int) -> np.ndarray:
    """Return the nearest float32 that is not below (`inwards=1`) or above (`-1`) the values."""
    nearest = values.astype(np.float32)
    past = (values - nearest) * inwards > 0
    return np.where(past, np.nextafter(nearest, np.float32(inwards * np.inf)), nearest)
