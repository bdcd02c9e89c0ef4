"""Trajectories as flat arrays with offsets.

Shapes: `S` steps of all trajectories end to end, `n` trajectories.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from lpt.config import DatasetConfig
from lpt.data import validation
from lpt.data.blocks import extent, select
from lpt.data.provenance import Provenance, fingerprint
from lpt.data.returns import cut, drop_short, highest, label, remaining
from lpt.data.statistics import describe, moments
from lpt.data.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class TrajectoryDataset:
    """Labeled trajectories, immutable: every array is read-only.

    Build it with `from_steps` or `from_offsets` (both validate), or `lpt.data.load`.
    """

    observations: np.ndarray
    """`[S, observation_dim]` float32, raw units."""
    actions: np.ndarray
    """`[S, act_dim]` float32 in [-1, 1], or `[S]` int64."""
    rewards: np.ndarray
    """`[S]` float32, for returns and reporting only."""
    offsets: np.ndarray
    """`[n+1]` int64; trajectory i is the steps offsets[i] to offsets[i+1] - 1."""
    returns: np.ndarray
    """`[n]` float32, the label y in raw units under `config.returns`."""
    terminated: np.ndarray
    """`[n]` bool, the task truly ended (as opposed to a time limit)."""
    provenance: Provenance
    """Where the data came from."""
    config: DatasetConfig
    """The options the data set was built with."""
    num_actions: int | None = None
    """Number of discrete actions, None for continuous ones."""
    counts_down: bool = False
    """Whether the last entry of an observation is the return still to go."""

    def __post_init__(self) -> None:
        """Raise ValueError where `config.held_steps` asks for steps that cannot be made."""
        where = self.provenance.where
        if self.config.held_steps and self.discrete:
            raise ValueError(
                f"{where}: dataset.held_steps={self.config.held_steps} repeats the action zero, "
                "which changes nothing, but actions are discrete and none is known to do so: set "
                "held_steps to 0"
            )
        if max(self.config.rest, default=0) >= self.observation_dim:
            raise ValueError(
                f"{where}: dataset.rest={self.config.rest}, but observations have "
                f"{self.observation_dim} entries, 0 to {self.observation_dim - 1}"
            )

    @classmethod
    def from_steps(
        cls,
        observations: Any,
        actions: Any,
        rewards: Any,
        terminals: Any,
        timeouts: Any | None = None,
        *,
        provenance: Provenance | None = None,
        config: DatasetConfig | None = None,
        discrete: bool | None = None,
        num_actions: int | None = None,
    ) -> TrajectoryDataset:
        """Build a data set from D4RL-style arrays of one row per step.

        Trajectories end where `terminals` or `timeouts` is set (see `lpt.data.returns.cut`); the
        unfinished tail is dropped, as D4RL does, and counted in `provenance.details`.

        Args:
            observations: `[S, observation_dim]`.
            actions: `[S, act_dim]` floats in [-1, 1], or `[S]` integers.
            rewards: `[S]`.
            terminals: `[S]` 0/1.
            timeouts: `[S]` 0/1, or None to cut at `config.horizon`.
            provenance: where the arrays came from; its fingerprint is filled in.
            config: options; the defaults if None.
            discrete: whether actions are discrete; None infers it from their type.
            num_actions: number of discrete actions; None takes the largest seen plus one.

        Raises:
            ValueError: a field is malformed, or no trajectory ends.
        """
        provenance = provenance or Provenance()
        config = _with_horizon(config or DatasetConfig(), provenance)
        where = provenance.where
        observations = validation.as_observations(observations, where)
        steps = len(observations)
        terminals = validation.as_flags(terminals, steps, "terminals", where)
        if timeouts is not None:
            timeouts = validation.as_flags(timeouts, steps, "timeouts", where)
        elif config.horizon is None:
            mend = "Store it, or set dataset.horizon to cut at the time limit."
            raise validation.problem(where, "timeouts", "is missing", mend)
        # Lengths are compared before the unfinished tail is cut off (as views).
        actions = validation.numeric(actions, steps, "actions", where)
        rewards = validation.numeric(rewards, steps, "rewards", where)
        offsets, terminated = cut(terminals, timeouts, config.horizon)
        if len(offsets) < 2:
            what = f"is never set in {steps} steps, so no trajectory ends"
            mend = "Set the flag at each trajectory's last step, or store `offsets`."
            raise validation.problem(where, "terminals/timeouts", what, mend)
        end = int(offsets[-1])
        details = {**provenance.details, "dropped_tail_steps": steps - end}
        if timeouts is None:
            details["cut_at_horizon"] = config.horizon
        return cls.from_offsets(
            observations[:end],
            actions[:end],
            rewards[:end],
            offsets,
            terminated,
            provenance=replace(provenance, details=details),
            config=config,
            discrete=discrete,
            num_actions=num_actions,
        )

    @classmethod
    def from_offsets(
        cls,
        observations: Any,
        actions: Any,
        rewards: Any,
        offsets: Any,
        terminated: Any | None = None,
        *,
        provenance: Provenance | None = None,
        config: DatasetConfig | None = None,
        discrete: bool | None = None,
        num_actions: int | None = None,
    ) -> TrajectoryDataset:
        """Build a data set from step arrays and trajectory offsets.

        Args:
            observations: `[S, observation_dim]`.
            actions: `[S, act_dim]` floats in [-1, 1], or `[S]` integers.
            rewards: `[S]`.
            offsets: `[n+1]` integers from 0 to S.
            terminated: `[n]` 0/1, the task truly ended at the trajectory's last step; None: never.
            provenance: where the arrays came from; its fingerprint is filled in.
            config: options; the defaults if None.
            discrete: whether actions are discrete; None infers it from their type.
            num_actions: number of discrete actions; None takes the largest seen plus one.

        Raises:
            ValueError: a field is malformed, or `config.min_length` leaves no trajectory.
        """
        provenance = provenance or Provenance()
        config = _with_horizon(config or DatasetConfig(), provenance)
        where = provenance.where
        fields = (observations, actions, rewards, offsets, terminated)
        arrays = validation.as_trajectories(
            *fields, where, discrete=discrete, num_actions=num_actions
        )
        arrays, dropped = drop_short(arrays, config.min_length, where)
        if arrays["actions"].ndim > 1:
            num_actions = None
        elif num_actions is None:
            num_actions = int(extent(arrays["actions"])[1]) + 1
        # Views, so that an array which the caller still owns stays writable in the caller's hands.
        arrays = {name: _frozen(array) for name, array in arrays.items()}
        record = {
            **provenance.details,
            "returns": config.returns,
            "horizon": config.horizon,
            "min_length": config.min_length,
            "dropped_short_trajectories": dropped,
        }
        stored = provenance.details.get("horizon")
        if stored not in (None, config.horizon):
            record["stored_horizon"] = stored
        rewards, offsets, ended = (arrays[key] for key in ("rewards", "offsets", "terminated"))
        returns = label(rewards, offsets, ended, config.returns, config.horizon, where)
        return cls(
            **arrays,
            returns=_frozen(returns),
            provenance=replace(provenance, fingerprint=fingerprint(arrays), details=record),
            config=config,
            num_actions=num_actions,
            counts_down=False,
        )

    @property
    def num_trajectories(self) -> int:
        """Number of trajectories n."""
        return len(self.offsets) - 1

    @property
    def num_steps(self) -> int:
        """Number of steps S over all trajectories."""
        return len(self.rewards)

    @property
    def observation_dim(self) -> int:
        """Number of entries of an observation."""
        return int(self.observations.shape[1])

    @property
    def discrete(self) -> bool:
        """Whether actions are numbers of a finite set."""
        return self.num_actions is not None

    @property
    def action_dim(self) -> int:
        """Number of entries of a continuous action, or the number of discrete actions."""
        return self.actions.shape[1] if self.num_actions is None else self.num_actions

    @cached_property
    def lengths(self) -> np.ndarray:
        """`[n]` int64, steps of each trajectory."""
        return _frozen(np.diff(self.offsets))

    @cached_property
    def learned_lengths(self) -> np.ndarray:
        """`[n]` int64, steps of each trajectory as it is learned from: recorded and held ones.

        Held steps are not stored; `TrajectorySampler` makes them up (`config.held_steps`).
        """
        steps, horizon = self.config.held_steps, self.config.horizon
        if not steps or horizon is None:
            return self.lengths
        held = np.minimum(remaining(self.offsets, self.terminated, horizon), steps)
        return _frozen(self.lengths + held)

    @cached_property
    def held(self) -> np.ndarray:
        """`[k]` int64, the trajectories that have held steps."""
        return _frozen(np.flatnonzero(self.learned_lengths > self.lengths))

    @cached_property
    def observation_mean(self) -> np.ndarray:
        """`[observation_dim]` float32 subtracted from observations; zeros if not standardized."""
        if not self.config.standardize_observations:
            return _frozen(np.zeros(self.observation_dim, np.float32))
        return _frozen(self.observation_moments[0])

    @cached_property
    def observation_std(self) -> np.ndarray:
        """`[observation_dim]` float32 that divides observations; ones if not standardized."""
        if not self.config.standardize_observations:
            return _frozen(np.ones(self.observation_dim, np.float32))
        return _frozen(self.observation_moments[1])

    @cached_property
    def observation_moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the observations, each `[observation_dim]`.

        They do not depend on whether observations are standardized. A data set opened from a
        converted folder knows them (`lpt.data.formats.mapped`); others read all observations once.
        """
        return moments(self.observations)

    @cached_property
    def return_mean(self) -> float:
        """Mean label over trajectories, raw units."""
        return float(self.returns.mean(dtype=np.float64))

    @cached_property
    def return_std(self) -> float:
        """Standard deviation of the labels over trajectories, raw units; one if all are equal."""
        std = float(self.returns.std(dtype=np.float64))
        return std if std > 1e-6 * max(1.0, abs(self.return_mean)) else 1.0

    def with_horizon(self, horizon: int) -> TrajectoryDataset:
        """Return the same steps, labeled for another evaluation horizon."""
        config = replace(self.config, horizon=horizon)
        inputs = (self.rewards, self.offsets, self.terminated)
        details = {**self.provenance.details, "horizon": horizon}
        return replace(
            self,
            config=config,
            returns=_frozen(label(*inputs, config.returns, horizon)),
            provenance=replace(self.provenance, details=details),
        )

    def best(self, share: float) -> TrajectoryDataset:
        """Return the trajectories with the highest returns, in their order (CORL's %BC).

        Args:
            share: see `lpt.data.returns.highest`. The fingerprint stays that of the whole data set.

        Raises:
            ValueError: another share.
        """
        kept = highest(self.returns, share)
        steps = np.repeat(np.isin(np.arange(len(self)), kept), self.lengths)
        details = {**self.provenance.details, "best_share": share}
        return replace(
            self,
            observations=_frozen(select(self.observations, steps)),
            actions=_frozen(select(self.actions, steps)),
            rewards=_frozen(select(self.rewards, steps)),
            offsets=_frozen(np.concatenate([[0], np.cumsum(self.lengths[kept])])),
            returns=_frozen(self.returns[kept]),
            terminated=_frozen(self.terminated[kept]),
            provenance=replace(self.provenance, details=details),
        )

    def trajectory(self, i: int) -> Trajectory:
        """Return trajectory `i` as views (no copy).

        Raises:
            IndexError: there is no such trajectory.
        """
        if not 0 <= i < self.num_trajectories:
            raise IndexError(f"trajectory {i}: expected 0 to {self.num_trajectories - 1}")
        steps = slice(int(self.offsets[i]), int(self.offsets[i + 1]))
        return Trajectory(
            observations=self.observations[steps],
            actions=self.actions[steps],
            rewards=self.rewards[steps],
            ret=float(self.returns[i]),
            terminated=bool(self.terminated[i]),
        )

    def __len__(self) -> int:
        return self.num_trajectories

    def __repr__(self) -> str:
        return describe(self)


def _with_horizon(config: DatasetConfig, provenance: Provenance) -> DatasetConfig:
    stored = provenance.details.get("horizon")
    if config.horizon is not None or not isinstance(stored, int):
        return config
    return replace(config, horizon=stored)


def _frozen(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view
