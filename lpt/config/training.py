"""How a run learns and is evaluated: `training` and `evaluation`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from lpt.config.checks import SettingError, check_most

Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute; auto takes a GPU if there is one."""
Track = Literal["tensorboard", "wandb"]
"""Where a run's scalars and images go (`lpt.training.board`)."""
Graph = Literal["auto", "always", "never"]
"""Whether updates are recorded as a CUDA graph (`lpt.training.recording`); auto does if it can."""
Precision = Literal["float32", "bfloat16", "auto"]
"""Of matrix products (`lpt.machine.precision`); auto is decided when a run is opened."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """Optimization, logging and checkpoints."""

    learning_rate: float = 1e-3
    """AdamW's peak learning rate."""
    weight_decay: float = 1e-4
    """AdamW's weight decay, on matrices only."""
    warmup: int = 100
    """Updates of linear warm-up; afterwards the rate falls linearly to zero."""
    gradient_clip: float = 1.0
    """Largest norm of the parameters' gradient (loss in nats a step)."""
    observation_noise: float = 0.0
    """Standard deviation of noise added to standardized observations while learning."""
    observation_noise_raw: tuple[float, ...] = ()
    """The same in raw units, one for each coordinate of the environment's observation, such as 0.04
    0.04 0.2 0.2 (instead of training.observation_noise)."""
    history_dropout: float = 0.0
    """Share of the segments whose steps are scored without history, so that plans are needed."""
    history_dropout_updates: int = 0
    """Updates after which every segment is scored with its history."""
    average: float = 0.998
    """Decay of the averaged weights that the policy uses; 0 uses the raw weights."""
    log_every: int = 100
    """Updates between TensorBoard points."""
    evaluate_every: int = 2000
    """Updates between evaluations; 0 evaluates only at the end."""
    evaluate_episodes: int = 50
    """Episodes of these evaluations (the end's are evaluation.episodes)."""
    checkpoint_minutes: float = 5.0
    """Minutes between checkpoints."""
    threads: int = 1
    """CPU threads of the run; resume is bit-identical for the same number."""
    precision: Precision = "float32"
    """Of the matrix products of generator and proposal; everything else stays float32. 'auto' takes
    what a short trial finds faster on this machine, and the run's configuration says which; then a
    seed may give other results on another machine."""
    compile: bool = False
    """Compile what learning scores actions with (torch.compile; needs a C++ compiler)."""
    cuda_graph: Graph = "never"
    """Record an update as one CUDA graph and replay it: 'auto' on a GPU where all batches have one
    shape, 'always' or an error, 'never'. Not yet run on a GPU, hence the default."""

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot train."""
        check_most("training", self)
        for name in ("learning_rate", "gradient_clip", "log_every", "threads", "evaluate_episodes"):
            if not getattr(self, name) > 0:
                raise SettingError(f"training.{name}={getattr(self, name)} must be positive")
        for name in ("average", "history_dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise SettingError(f"training.{name}={getattr(self, name)} must lie in [0, 1]")
        raw = self.observation_noise_raw
        if raw and self.observation_noise:
            raise SettingError(
                f"training.observation_noise={self.observation_noise} and "
                f"training.observation_noise_raw={list(raw)} say the same in two units: give one"
            )
        if not all(0 <= std < math.inf for std in (self.observation_noise, *raw)):
            name, value = ("_raw", list(raw)) if raw else ("", self.observation_noise)
            raise SettingError(
                f"training.observation_noise{name}={value} must be 0 or more, finite"
            )

    def check_segments(self, segments: int) -> None:
        """Raise ValueError for what needs segments where whole trajectories are read (0)."""
        if segments:
            return
        if self.history_dropout:
            raise SettingError(
                f"training.history_dropout={self.history_dropout} is a share of segments, but "
                "whole trajectories are read: set sampler.segments, or history_dropout to 0"
            )
        if self.compile:
            raise SettingError(
                "training.compile needs batches of one shape, but whole trajectories vary in "
                "length: set sampler.segments, or leave training.compile out"
            )


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig:
    """What a policy is asked for and how it is scored."""

    target: float | None = None
    """Return asked of the plan, raw units; unset: the 99 % quantile of the data's
    returns, as drawn in learning (each trajectory counts by its length, held steps included, or as
    sampler.draw and sampler.label_tilt say)."""
    episodes: int = 100
    """Episodes."""
    seed: int = 1000
    """Seed of planning; episode i is reset with seed + 10000 * the run's seed + i, so that every
    training seed is evaluated on resets of its own."""
    deterministic: bool | None = True
    """Act by the mode of the action likelihood; else draw from it. Unset (None): draw where actions
    are discrete, whose likelihood tells how its actors explore; a Gaussian's width is a setting."""
    sweep: tuple[float, ...] = ()
    """Targets of lpt-eval --sweep, raw units."""
    parallel: int = 128
    """Most episodes to run side by side."""

    def __post_init__(self) -> None:
        """Raise ValueError for counts below one, and beyond use."""
        check_most("evaluation", self)
        for name in ("episodes", "parallel"):
            if getattr(self, name) < 1:
                raise SettingError(f"evaluation.{name}={getattr(self, name)} must be at least 1")

    def acts_by_mode(self, discrete: bool) -> bool:
        """Return whether actions, discrete or not, are the likelihood's modes."""
        return not discrete if self.deterministic is None else self.deterministic
