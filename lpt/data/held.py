"""Held steps: what a held label claims of a trajectory's end, as steps to learn from.

The label of `returns='held'` says that the end lasts to the horizon. Data of agents that only pass
their goals hold no step that shows how. Two kinds of made-up steps say what the claim means; no
array stores them, they are made where a batch is read. Write e for the *held end*: the last
observation, its `dataset.rest` entries (velocities) at zero.

* At rest: the state e, the action zero. An end that lasts is an equilibrium.
* Reflected: one of the last `dataset.reflected_steps` steps (s, a), mirrored in e to (2 e - s, -a).
  Near an equilibrium a smooth feedback law is odd in the deviation from it, so what brought the
  agent to e from one side would bring it back from the other. Without them whatever lies beyond
  the end, and every velocity but that of the arrival, is extrapolation.

With reflected steps, those at rest and reflected ones take turns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpt.data.dataset import TrajectoryDataset


def held_ends(dataset: TrajectoryDataset) -> np.ndarray:
    """Return the held end of each trajectory, `[n, observation_dim]`, raw units."""
    ends: np.ndarray = np.take(dataset.observations, dataset.offsets[1:] - 1, axis=0)
    ends[:, list(dataset.config.rest)] = 0.0
    return ends


@dataclass(frozen=True)
class HeldSteps:
    """Which steps of a batch are recorded, at rest and reflected; arrays of one shape."""

    row: np.ndarray
    """Rows of the data set's arrays to read."""
    number: np.ndarray
    """How many held steps in; 0: recorded."""
    end: np.ndarray
    """Row of the trajectory's last step, of that shape or one that it broadcasts to."""
    reflected: np.ndarray | None
    """Whether a step is reflected; None: none is."""

    @classmethod
    def of(cls, dataset: TrajectoryDataset, row: np.ndarray, index: np.ndarray) -> HeldSteps:
        """Return what steps of trajectories are made of.

        Args:
            dataset: where they are from.
            row: `[B, M, L]` first row of the trajectory plus the step's number, which goes past
                its recorded steps where it is held.
            index: `[B]` the trajectories.
        """
        end = dataset.offsets[index + 1][:, None, None] - 1
        number, last = np.maximum(row - end, 0), dataset.config.reflected_steps
        if not last:
            return cls(row - number, number, end, None)
        reflected = (number > 0) & (number % 2 == 0)
        back = np.minimum((number // 2 - 1) % last, (dataset.lengths[index] - 1)[:, None, None])
        return cls(np.where(reflected, end - back, row - number), number, end, reflected)

    def observations(self, dataset: TrajectoryDataset) -> np.ndarray:
        """Return their observations `[B, M, L, observation_dim]`, raw units."""
        config = dataset.config
        found: np.ndarray = np.take(dataset.observations, self.row, axis=0)
        if not config.held_steps:
            return found
        own = found[..., :-1] if dataset.counts_down else found
        if self.reflected is not None:
            rest = np.take(dataset.observations, self.end, axis=0)[..., : own.shape[-1]]
            rest[..., list(config.rest)] = 0.0
            np.copyto(own, 2 * rest - own, where=self.reflected[..., None])
        for entry in config.rest:
            own[..., entry] *= self.number == 0 if self.reflected is None else self._moving
        if dataset.counts_down:  # each held step earns the last reward again
            last = np.take(
                dataset.observations[:, -1], np.where(self.number > 0, self.end, self.row)
            )
            found[..., -1] = last - self.number * np.take(dataset.rewards, self.end)
        return found

    def actions(self, dataset: TrajectoryDataset) -> np.ndarray:
        """Return their actions, `[B, M, L, action_dim]`, or `[B, M, L]` discrete ones."""
        found: np.ndarray = np.take(dataset.actions, self.row, axis=0)
        if dataset.config.held_steps:
            sign = (self.number == 0).astype(np.float32)
            found *= (sign if self.reflected is None else sign - self.reflected)[..., None]
        return found

    @property
    def _moving(self) -> np.ndarray:
        """Whether a step is not at rest."""
        assert self.reflected is not None
        moving: np.ndarray = (self.number == 0) | self.reflected
        return moving
