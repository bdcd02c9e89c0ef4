"""Planning: infer the latent plan from a target return, ``p(z0 | y)^w ~ p(z0) p_gamma(y | z)^w``.

Once before an episode; the trajectory generator is not consulted and no reward is. ``w = 1`` is the
Bayes posterior (LPT), ``w > 1`` leans towards the return (LPT-EI, exploitation-inclined).

``langevin`` and ``variational`` take the model's prior for ``p(z0)``. Where plans carry many nats,
those of the data fill little of it, and a target finds plans that no trajectory ever had.
``aggregated`` takes the aggregated posterior ``q(z0) = mean_i p(z0 | tau_i, y_i)`` instead, the
prior that explains the data best (Tomczak and Welling, 2018): plans inferred in learning are drawn
again in proportion to ``p_gamma(y | z)^w``. The mean of several such draws keeps what plans of that
return have in common and loses what each of them knows besides (docs/mujoco.md).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lpt.baselines import ConditionedTransformer, Model
from lpt.inference import Energy, GaussianFit, adjusted_langevin, fit_gaussian, noise_like
from lpt.model import LatentPlanTransformer

SAMPLES = 16
"""Draws in each step of a variational fit: with one, a stiff energy drowns in their noise."""


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
        for name in ("weight", "steps", "step_size"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"planning.{name}={getattr(self, name)} must be positive, finite")
        if self.draws < 1:
            raise ValueError(f"planning.draws={self.draws} must be 1 or more")


@dataclass(frozen=True)
class Plan:
    """Latent plans for a batch of episodes."""

    z0: Tensor
    """``[B, N, D]`` prior noise."""
    z: Tensor
    """``[B, N, D]`` latent plan, the generator's prompt."""
    predicted_return: Tensor
    """``[B]`` r_gamma(z), in standard deviations of the data's returns (standardised)."""
    energies: Tensor
    """``[steps, B]`` energy before each step, nats."""
    acceptance: float = 1.0
    """Mean acceptance of the adjusted Langevin steps."""


def plan(
    model: Model,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> Plan:
    """Infer one plan for each target.

    Args:
        model: the trained model; its dropout is off while planning. A baseline's plan is its
            prompt, and the return it predicts is the one asked for.
        targets: ``[B]`` standardised target returns.
        config: method, weight and steps.
        generator: source of noise, on the model's device.

    Returns:
        The plans, with nothing attached to the graph.
    """
    training = model.training
    model.eval()
    try:
        if isinstance(model, ConditionedTransformer):
            with torch.no_grad():
                prompt = model.prompt(targets)
            return Plan(prompt, prompt, targets, targets.new_zeros(0, len(targets)))
        return _plan(model, targets, config, generator)
    finally:
        model.train(training)


def _plan(
    model: LatentPlanTransformer,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> Plan:
    acceptance = 1.0
    if config.method == "aggregated":
        z0 = _draw_again(model, targets, config, generator)
        energies = targets.new_zeros(0, len(targets))
    elif config.method == "langevin":
        start = noise_like(targets.new_zeros(len(targets), *model.plan_shape), generator)
        energy = plan_energy(model, targets, config.weight)
        chain = adjusted_langevin(energy, start, config.steps, config.step_size, generator)
        z0, energies, acceptance = chain.z0, chain.energies, chain.acceptance
    else:
        fit = _fit(model, targets, config, generator)
        z0, energies = fit.mean, fit.energies
        if config.sample:
            z0 = z0 + fit.std * noise_like(z0, generator)
    with torch.no_grad():
        z = model.plan_from_noise(z0)
        return Plan(z0, z, model.predicted_return(z), energies, acceptance)


def plan_energy(model: LatentPlanTransformer, targets: Tensor, weight: float) -> Energy:
    """``-log p(z0) - w log p_gamma(y | z)``; rows beyond ``[B]`` targets go through them again."""

    def energy(z0: Tensor) -> Tensor:
        z, y = model.plan_from_noise(z0), targets.repeat(len(z0) // len(targets))
        return -model.log_prior(z0) - weight * model.log_return(z, y)

    return energy


def _draw_again(
    model: LatentPlanTransformer,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> Tensor:
    """The mean of remembered plans for each target, by importance resampling; ``[B, N, D]``."""
    plans = model.aggregated_plans()
    with torch.no_grad():
        predicted = model.predicted_return(model.plan_from_noise(plans))
    # Squared errors above the least one, factored: exact for a target of any size in float32.
    asked = targets[:, None]
    nearest = predicted[(asked - predicted).abs().argmin(-1)][:, None]
    excess = (predicted - nearest) * (predicted + nearest - 2 * asked)  # [B, S]
    chances = (-0.5 * config.weight / model.config.return_std**2 * excess).softmax(-1)
    drawn = torch.multinomial(chances, config.draws, replacement=True, generator=generator)
    return plans[drawn].mean(1)


def _fit(
    model: LatentPlanTransformer,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> GaussianFit:
    """One Gaussian for each different target; episodes of one target share it."""
    different, which = targets.unique(return_inverse=True)
    start = targets.new_zeros(len(different), *model.plan_shape)
    fit = fit_gaussian(
        plan_energy(model, different, config.weight),
        start,
        start + 0.5,
        config.steps,
        config.step_size,
        generator,
        samples=SAMPLES,
    )
    return GaussianFit(fit.mean[which], fit.std[which], fit.energies[:, which])
