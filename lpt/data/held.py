"""Held steps: what a held label claims of a trajectory's end, as steps to learn from.

The label of `returns='held'` says that the end lasts to the horizon. Data of agents that only pass
their goals hold no step that shows how. Two kinds of made-up steps say what the claim means; no
array stores them, they are made where a batch is read. Write e for the *held end* of a trajectory:
its last observation, with its `dataset.rest` entries (velocities) at zero.

* At rest: the state e, the action zero. An end that lasts is an equilibrium.
* Arrivals (`dataset.arrival_steps`), instead: one of the last steps (s', a') of another trajectory,
  moved from that one's held end e' to this one's, (e + s' - e', a'). Close to its end an agent
  does what its deviation from there asks for, wherever that is; so how others come to their
  ends, from all sides, shows how this one is returned to. A trajectory itself shows one side
  only, and the data of a dead end show no other: whatever lies beyond would be extrapolation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpt.data.dataset import TrajectoryDataset

STRIDE = 7919
"""Trajectories from one of a held step's sources to the next one's: a prime, so that they are of
all parts of the data."""


def held_ends(dataset: TrajectoryDataset) -> np.ndarray:
    """Return the held end of each trajectory, `[n, observation_dim]`, raw units."""
    return _held_ends(dataset, dataset.offsets[1:] - 1)


def _held_ends(dataset: TrajectoryDataset, row: np.ndarray) -> np.ndarray:
    """Return the observations of rows, the entries of `dataset.rest` at zero."""
    ends: np.ndarray = np.take(dataset.observations, row, axis=0)
    ends[..., list(dataset.config.rest)] = 0.0
    return ends


@dataclass(frozen=True)
class HeldSteps:
    """Which steps of a batch are recorded and which held; arrays `[B, M, L]`."""

    row: np.ndarray
    """Rows of the data set's arrays to read."""
    number: np.ndarray
    """How many held steps in; 0: recorded."""
    end: np.ndarray
    """Row of the trajectory's last step, of that shape or one that it broadcasts to."""
    source: np.ndarray | None
    """Row of the last step of the trajectory that `row` is of; None: held steps are at rest."""

    @classmethod
    def of(cls, dataset: TrajectoryDataset, row: np.ndarray, index: np.ndarray) -> HeldSteps:
        """Return what steps of trajectories are made of.

        Args:
            dataset: where they are from.
            row: `[B, M, L]` first row of the trajectory plus the step's number, which goes past
                its recorded steps where it is held.
            index: `[B]` the trajectories.
        """
        index = index[:, None, None]
        end = dataset.offsets[index + 1] - 1
        number, last = np.maximum(row - end, 0), dataset.config.arrival_steps
        if not last or not len(dataset.held):
            return cls(row - number, number, end, None)
        other = dataset.held[(index + number * STRIDE) % len(dataset.held)]
        source = dataset.offsets[other + 1] - 1
        back = np.minimum((number - 1) % last, dataset.lengths[other] - 1)
        return cls(np.where(number > 0, source - back, row), number, end, source)

    def observations(self, dataset: TrajectoryDataset) -> np.ndarray:
        """Return their observations `[B, M, L, observation_dim]`, raw units."""
        config = dataset.config
        found: np.ndarray = np.take(dataset.observations, self.row, axis=0)
        if not config.held_steps:
            return found
        held = (self.number > 0)[..., None]
        own = found[..., :-1] if dataset.counts_down else found
        if self.source is None:
            for entry in config.rest:
                own[..., entry] *= self.number == 0
        else:
            moved = _held_ends(dataset, self.end) - _held_ends(dataset, self.source)
            np.add(own, moved[..., : own.shape[-1]], out=own, where=held)
        if dataset.counts_down:  # each held step earns the last reward again
            last = np.take(dataset.observations[:, -1], np.where(held[..., 0], self.end, self.row))
            found[..., -1] = last - self.number * np.take(dataset.rewards, self.end)
        return found

    def actions(self, dataset: TrajectoryDataset) -> np.ndarray:
        """Return their actions, `[B, M, L, action_dim]`, or `[B, M, L]` discrete ones."""
        found: np.ndarray = np.take(dataset.actions, self.row, axis=0)
        if dataset.config.held_steps and self.source is None:
            found *= (self.number == 0).astype(np.float32)[..., None]
        return found
