"""How plans are inferred: `posterior` while learning, `planning` before acting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lpt.config.checks import SettingError, check_most, check_positive

Engine = Literal["langevin", "langevin-paper", "preconditioned", "amortized", "variational"]
"""How plans are inferred while learning (`lpt.inference.engines`)."""
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
