"""What is learned from: `dataset` and `sampler`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from lpt.config.checks import SettingError, check_choice

ReturnConvention = Literal["recorded", "held"]
"""What return a trajectory is labeled with (`lpt.data.returns`)."""
LARGEST_TILT = 80.0
"""Chances that differ by more than exp(80) are beyond float32, in which trajectories are drawn."""

LONGEST = 1 << 32
"""Steps of the longest horizon."""


@dataclass(frozen=True, kw_only=True)
class DatasetConfig:
    """How stored steps become labeled trajectories."""

    horizon: int | None = None
    """Evaluation horizon H in steps; unset: the environment's time limit, else the task's or the
    file's own."""
    returns: ReturnConvention = "recorded"
    """'recorded' labels a trajectory with its sum of rewards; 'held' adds (H - length) times its
    last reward unless it truly terminated."""
    min_length: int = 1
    """Trajectories shorter than this many steps are dropped."""
    held_steps: int = 0
    """Steps that learning adds after each trajectory that did not truly terminate, at most to the
    horizon: its last observation again (see `rest`), with the action zero, or what `arrival_steps`
    says. Data that the label of returns='held' claims already."""
    rest: tuple[int, ...] = ()
    """Entries of an observation that are zero at rest, such as velocities: zero in held steps."""
    arrival_steps: int = 0
    """Held steps are instead among the last so many steps of other trajectories, moved from the
    held end of those to this one's: how it is returned to, from all sides. 0: they are at rest."""
    standardize_observations: bool = True
    """Subtract the observations' mean and divide by their standard deviation."""

    def __post_init__(self) -> None:
        """Raise ValueError for held steps that no label claims."""
        if self.horizon is not None and not 1 <= self.horizon <= LONGEST:
            raise SettingError(
                f"dataset.horizon={self.horizon} is no time limit; what ends there needs the "
                f"task's horizon, 1 to {LONGEST} steps: set dataset.horizon to it, or leave it out"
            )
        if self.held_steps < 0:
            raise SettingError(f"dataset.held_steps={self.held_steps} must be 0 or more")
        if self.held_steps and self.returns != "held":
            raise SettingError(
                f"dataset.held_steps={self.held_steps} lets the end state last as the held label "
                f"says, but dataset.returns is {self.returns!r}: set returns to held, or "
                "held_steps to 0"
            )
        if self.arrival_steps < 0 or (self.arrival_steps and not self.held_steps):
            raise SettingError(
                f"dataset.arrival_steps={self.arrival_steps} must be 0, or positive with "
                f"dataset.held_steps, which are made of them and are {self.held_steps}: set "
                "held_steps, or arrival_steps to 0"
            )
        if min(self.rest, default=0) < 0:
            raise SettingError(
                f"dataset.rest={self.rest}: expected numbers of observation entries, from 0"
            )


@dataclass(frozen=True, kw_only=True)
class SamplerConfig:
    """What a batch holds."""

    batch_trajectories: int = 64
    """B, trajectories a batch, no two alike."""
    segments: int = 4
    """M, segments of each trajectory; 0 reads trajectories whole."""
    segment_steps: int = 16
    """c, scored steps of a segment."""
    draw: Literal["length", "uniform"] = "length"
    """'length' draws trajectories in proportion to their length (the paper's), 'uniform' each as
    often as any other: the likelihood of trajectories as they are in the data."""
    label_tilt: float = 0.0
    """Tilts the data towards high labels (compare Hong et al., 2023): a trajectory is drawn
    exp(tilt (y - min y) / (max y - min y)) times as often as by `draw` alone, y the labels of what
    is learned from. Their quantiles, and so the default target, are those of the tilted data."""
    counted_steps: int = 0
    """Steps that every trajectory counts as in the log-likelihood, so that long ones do not
    outweigh short ones; 0 counts each of its steps once."""
    stratified: bool = False
    """Whether one segment lies in each M-th of a trajectory, instead of M anywhere: the same sum
    is estimated with less noise."""

    def fitted(self, trajectories: int) -> SamplerConfig:
        """Return settings for data that may have fewer trajectories than a batch.

        The same number of segments is taken from the trajectories there are; where trajectories
        are read whole, there are fewer of them.
        """
        asked = self.batch_trajectories
        if asked <= trajectories:
            return self
        segments = -(-self.segments * asked // trajectories)
        return replace(self, batch_trajectories=trajectories, segments=segments)

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that make no batch, and weights that are no weights."""
        if self.batch_trajectories < 1 or self.segments < 0 or self.segment_steps < 1:
            raise SettingError(
                f"sampler: got batch_trajectories={self.batch_trajectories}, "
                f"segments={self.segments}, segment_steps={self.segment_steps}; expected at least "
                "1, 0 and 1 (segments=0 reads whole trajectories)"
            )
        check_choice("sampler.draw", self.draw, ("length", "uniform"))
        if not 0 <= self.label_tilt <= LARGEST_TILT:
            raise SettingError(
                f"sampler.label_tilt={self.label_tilt} must be finite, from 0 to {LARGEST_TILT:g}"
            )
        if self.counted_steps < 0:
            raise SettingError(f"sampler.counted_steps={self.counted_steps} must be 0 or more")
