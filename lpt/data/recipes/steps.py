"""Made data in D4RL's arrays of one row per step."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.d4rl import write_d4rl
from lpt.data.provenance import Provenance


@dataclass(frozen=True, eq=False)
class MadeSteps:
    """Arrays under D4RL's keys, and how they were made."""

    arrays: Mapping[str, np.ndarray]
    """One row per step; more than a data set holds, such as `infos/qpos`."""
    provenance: Provenance
    """How they were made."""

    @cached_property
    def dataset(self) -> TrajectoryDataset:
        """The data as trajectories."""
        keys = ("observations", "actions", "rewards", "terminals", "timeouts")
        return TrajectoryDataset.from_steps(
            *(self.arrays[key] for key in keys), provenance=self.provenance
        )

    def final_observations(self) -> np.ndarray:
        """Return the observation after each trajectory's last action, `[n, observation_dim]`.

        MuJoCo data have it as `next_observations`. In a maze, the row after a flagged step repeats
        the observation, but its `infos/qpos` and `infos/qvel` have moved on: they are what the
        environment showed after the last action. A trajectory that ends with the data repeats its
        last observation.
        """
        arrays, after = self.arrays, self.dataset.offsets[1:]
        if "next_observations" in arrays:
            return np.asarray(arrays["next_observations"][after - 1])
        state = np.concatenate([arrays["infos/qpos"], arrays["infos/qvel"]], axis=1)
        last = arrays["observations"][after - 1]
        inside = after < len(state)
        moved = state[np.minimum(after, len(state) - 1)]
        return np.asarray(np.where(inside[:, None], moved, last))

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write all arrays as a D4RL file; atomic.

        Raises:
            FileExistsError: the file exists and `overwrite` is False.
        """
        write_d4rl(path, self.arrays, self.provenance, overwrite=overwrite)
