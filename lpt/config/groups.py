"""The groups of a run's configuration: one frozen dataclass for each part of the toolkit.

They lie together, below everything that reads them. Fields are documented where they stand, which
is also what `lpt-train --help` prints.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from lpt.config.checks import SettingError, check_choice, check_most, check_positive

Algorithm = Literal["lpt", "bc", "bc-10", "dt-final", "dt", "goal"]
"""What is learned: the latent plan model, or a baseline (`lpt.algorithms`)."""
Engine = Literal["langevin", "langevin-paper", "preconditioned", "amortized", "variational"]
"""How plans are inferred while learning (`lpt.inference.engines`)."""
Device = Literal["auto", "cpu", "cuda", "mps"]
"""Where to compute; auto takes a GPU if there is one."""
Track = Literal["tensorboard", "wandb"]
"""Where a run's scalars and images go (`lpt.training.board`)."""
Precision = Literal["float32", "bfloat16", "auto"]
"""Of matrix products (`lpt.machine.precision`); auto is decided when a run is opened."""
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


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and likelihoods of the model."""

    layers: int = 2
    """Transformer blocks."""
    heads: int = 4
    """Attention heads of every block."""
    width: int = 64
    """Model width D, also of each plan token."""
    context: int = 16
    """K: environment steps that may influence an action, through all layers together."""
    inputs: Literal["states", "states-and-actions"] = "states-and-actions"
    """What a step's token holds: its state, or also the action before it (the paper's). With that
    action a policy can go on with whatever it was doing, which leaves the plan little to say."""
    frequencies: int = 0
    """Wavelengths 4, 2, 1, ... standard deviations at which the token also sees sines and cosines
    of the standardized state, so that actions may change over short distances; 0: none."""
    frequency_dims: tuple[int, ...] = ()
    """Coordinates of the state that these are taken of, counted from 0; none given: all."""
    plan_tokens: int = 4
    """N: tokens of the latent plan."""
    dropout: float = 0.0
    """Dropout in the blocks while learning; never in chains, planning or rollouts."""
    likelihood: Literal["auto", "gaussian", "censored", "categorical"] = "auto"
    """Action likelihood; 'auto' is categorical where the data's actions are discrete, else
    gaussian; 'censored' is a Gaussian clipped to the action bounds."""
    action_std: float = 0.5
    """sigma_a in action units (continuous actions)."""
    return_std: float = 1.0
    """sigma_y in units of the returns' standard deviation: the dial between luck and skill."""
    return_hidden: int = 100
    """Hidden units in each of the return predictor's two layers."""
    prior_width: int = 16
    """Channels of the U-Net's first level; 0 takes z = z0 (the paper's ablation)."""
    prior_multipliers: tuple[int, ...] = (1, 2, 4, 8)
    """Channel multipliers of the U-Net's levels."""
    remembered_plans: int = 0
    """Newest plans inferred in learning that the model keeps, for planning.method=aggregated."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be built."""
        check_most("model", self)
        check_positive("model", self, ("heads", "width"))
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise SettingError(
                f"model.width={self.width} must be an even multiple of model.heads={self.heads}: "
                "rotary positions turn pairs of each head's channels"
            )
        sizes = ("layers", "context", "plan_tokens", "return_hidden", "action_std", "return_std")
        check_positive("model", self, sizes)
        for name in ("remembered_plans", "frequencies", "prior_width"):
            if getattr(self, name) < 0:
                raise SettingError(f"model.{name}={getattr(self, name)} must be 0 or more")
        if not 0 <= self.dropout <= 1:
            raise SettingError(f"model.dropout={self.dropout} must lie in [0, 1]")
        levels = self.prior_multipliers
        if not 1 <= len(levels) <= 16 or not all(1 <= level <= 1024 for level in levels):
            raise SettingError(
                f"model.prior_multipliers={list(levels)[:20]} must be 1 to 16 numbers, each 1 to "
                "1024"
            )
        check_choice("model.inputs", self.inputs, ("states", "states-and-actions"))
        self._check_frequency_dims()

    def _check_frequency_dims(self) -> None:
        dims = self.frequency_dims
        if dims and not self.frequencies:
            raise SettingError(
                f"model.frequency_dims={list(dims)} needs model.frequencies above 0: set it, or "
                "leave model.frequency_dims empty"
            )
        if len(set(dims)) < len(dims) or any(dim < 0 for dim in dims):
            raise SettingError(
                f"model.frequency_dims={list(dims)} must be different coordinates, counted from 0"
            )

    @property
    def discrete(self) -> bool | None:
        """Whether the likelihood is of discrete actions; None where the data decide."""
        return None if self.likelihood == "auto" else self.likelihood == "categorical"

    def fitted(self, discrete: bool) -> ModelConfig:
        """Return the settings with the likelihood that the data's actions decide."""
        if self.likelihood != "auto":
            return self
        return replace(self, likelihood="categorical" if discrete else "gaussian")


@dataclass(frozen=True, kw_only=True)
class ProposalConfig:
    """Sizes of the proposal network."""

    steps: int = 24
    """Steps of the overview it reads, spread evenly over what it may see."""
    view: Literal["whole", "end"] = "whole"
    """'end': it sees the trajectory only from a random step on, and so do chains that have a batch
    of their own. A plan inferred without the start cannot depend on it, and so serves other starts
    too (stitching)."""
    reads_return: bool = True
    """Whether it sees y. A return that also tells the start (through the length) would let it in
    again where the view is 'end'."""
    width: int = 64
    """Model width."""
    layers: int = 2
    """Transformer layers."""
    heads: int = 4
    """Attention heads."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be built."""
        check_most("proposal", self)
        check_positive("proposal", self, ("steps", "width", "layers", "heads"))
        if self.width % self.heads:
            raise SettingError(
                f"proposal.width={self.width} must be a multiple of proposal.heads={self.heads}"
            )


LEAST = {"prior_warmup": 0, "warmup": 0, "trajectories": 0, "segments": 0, "segment_steps": 1}
"""The least value of whole numbers in `posterior`."""


@dataclass(frozen=True, kw_only=True)
class PosteriorConfig:
    """How plans are inferred while learning (by which engine is `--engine`)."""

    steps: int | None = None
    """Langevin or Adam steps a visit; unset: the engine's own default."""
    step_size: float | None = None
    """Langevin step size s or Adam's learning rate; unset: the engine's own default."""
    start: Literal["chains", "proposal", "prior"] | None = None
    """Where a Langevin chain starts: where the trajectory's own was left, at a draw of the proposal
    network, or at one of the prior; unset: as the engine does."""
    metric: Literal["identity", "proposal", "gradients"] | None = None
    """In which units a Langevin step is measured: those of z0, the proposal's standard deviations,
    or the running size of the gradients; unset: as the engine does."""
    corrected: bool | None = None
    """Whether Langevin steps are accepted or refused (Metropolis), with a step size that adapts to
    six acceptances in ten; unset: as the engine does."""
    trajectories: int = 0
    """Trajectories whose chains move in an update, as evidence of their own; the parameters then
    learn from the sampler's batch at the plans that its trajectories' chains hold. 0: the
    sampler's batch is both."""
    segments: int = 16
    """Segments of such a trajectory that are its evidence (with posterior.trajectories); few make
    a chain fit their noise."""
    segment_steps: int = 1
    """Scored steps of such a segment."""
    warmup: int = 50
    """First updates, in which the parameters learn from the moved trajectories only (with
    posterior.trajectories): kept plans are stale while everything changes."""
    prior_weight: float = 1.0
    """Weight of log p(z0) in the joint; below 1 plans may carry more information."""
    prior_start: float = 0.1
    """The prior's weight at the first update, as a share of `prior_weight`."""
    prior_warmup: int = 1500
    """Updates over which the prior's weight rises to its full value."""
    return_weight: float = 1.0
    """Power of p(y | z) while learning. Below 1 (the same as a wider sigma_y, in learning only)
    the plan has less to gain from explaining luck: it is left to tell who acts."""

    def __post_init__(self) -> None:
        """Raise ValueError for weights that are no weights."""
        check_positive("posterior", self, ("prior_weight", "prior_start", "return_weight"))
        for name, least in LEAST.items():
            if getattr(self, name) < least:
                raise SettingError(
                    f"posterior.{name}={getattr(self, name)} must be {least} or more"
                )

    def weight_at(self, update: int) -> float:
        """Return the prior's weight at an update."""
        share = min(1.0, update / self.prior_warmup) if self.prior_warmup else 1.0
        return self.prior_weight * (self.prior_start + (1.0 - self.prior_start) * share)


@dataclass(frozen=True, kw_only=True)
class PlanningConfig:
    """How a plan is inferred from a target return."""

    method: Literal["langevin", "variational", "aggregated"] = "variational"
    """'langevin': a sample by adjusted Langevin; 'variational': a Gaussian fitted by Adam;
    'aggregated': plans inferred in learning, drawn again (needs model.remembered_plans)."""
    weight: float = 1.0
    """w, power of the return's likelihood; above 1 the plan leans towards the target (LPT-EI)."""
    steps: int = 200
    """Langevin or Adam steps."""
    step_size: float = 0.1
    """First Langevin step size (adapted for each chain) or Adam's learning rate."""
    sample: bool = False
    """'variational' only: draw from the fitted Gaussian instead of taking its mean."""
    draws: int = 1
    """'aggregated' only: plans drawn again for each episode, whose mean is its plan."""

    def __post_init__(self) -> None:
        """Raise ValueError for settings that cannot plan."""
        check_most("planning", self)
        check_positive("planning", self, ("weight", "steps", "step_size"))
        if self.draws < 1:
            raise SettingError(f"planning.draws={self.draws} must be 1 or more")


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
