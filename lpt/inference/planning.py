"""Planning: infer the latent plan from a target return, `p(z0 | y)^w ~ p(z0) p_gamma(y | z)^w`.

Once before an episode; the trajectory generator is not consulted and no reward is. `w = 1` is the
Bayes posterior (LPT), `w > 1` leans towards the return (LPT-EI, exploitation-inclined).

`langevin` and `variational` take the model's prior for `p(z0)`. Where plans carry many nats,
those of the data fill little of it, and a target finds plans that no trajectory ever had.
`aggregated` takes the aggregated posterior `q(z0) = mean_i p(z0 | tau_i, y_i)` instead, the
prior that explains the data best (Tomczak and Welling, 2018): plans inferred in learning are drawn
again in proportion to `p_gamma(y | z)^w`. The mean of several such draws keeps what plans of that
return have in common and loses what each of them knows besides (docs/mujoco.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lpt.config import PlanningConfig
from lpt.inference.noise import noise_like
from lpt.inference.samplers import Energy, adjusted_langevin
from lpt.inference.variational import fit_gaussian
from lpt.model import LatentPlanTransformer

SAMPLES = 16
"""Draws in each step of a variational fit: with one, a stiff energy drowns in their noise."""


@dataclass(frozen=True)
class Choice:
    """How plans were chosen among remembered ones: whether they know of such a return at all."""

    effective: Tensor
    """`[B]` effective number of plans that a target chooses among, `1 / sum p^2`."""
    spread: Tensor
    """`[B]` standard deviation of r_gamma over the draws by p, standardized."""
    highest: Tensor
    """Scalar: the highest r_gamma of all remembered plans, standardized."""


@dataclass(frozen=True)
class Plan:
    """Latent plans for a batch of episodes, with nothing attached to the graph."""

    z0: Tensor
    """`[B, N, D]` prior noise."""
    z: Tensor
    """`[B, N, D]` latent plan, the generator's prompt."""
    predicted_return: Tensor
    """`[B]` r_gamma(z), in standard deviations of the data's returns (standardized)."""
    choice: Choice | None = None
    """What it was chosen among; None where plans are not chosen."""


def infer_plans(
    model: LatentPlanTransformer,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> Plan:
    """Infer one plan for each target.

    Args:
        model: the trained model, in evaluation mode.
        targets: `[B]` standardized target returns.
        config: method, weight and steps.
        generator: source of noise, on the model's device.

    Raises:
        ValueError: if the method draws from remembered plans and there are none.
    """
    z0, choice = METHODS[config.method](model, targets, config, generator)
    with torch.no_grad():
        z = model.plan_from_noise(z0)
        return Plan(z0, z, model.predicted_return(z), choice)


def plan_energy(model: LatentPlanTransformer, targets: Tensor, weight: float) -> Energy:
    """`-log p(z0) - w log p_gamma(y | z)`; rows beyond `[B]` targets go through them again."""

    def energy(z0: Tensor) -> Tensor:
        z, y = model.plan_from_noise(z0), targets.repeat(len(z0) // len(targets))
        return -model.log_prior(z0) - weight * model.log_return(z, y)

    return energy


def _sample(
    model: LatentPlanTransformer,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> tuple[Tensor, None]:
    """Return a sample for each target, from the prior by adjusted Langevin; `[B, N, D]`."""
    start = noise_like(targets.new_zeros(len(targets), *model.plan_shape), generator)
    energy = plan_energy(model, targets, config.weight)
    return adjusted_langevin(energy, start, config.steps, config.step_size, generator).z0, None


def _resample(
    model: LatentPlanTransformer,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Choice]:
    """Return the mean of plans drawn again for each target, by importance; `[B, N, D]`."""
    plans = model.remembered.draws()
    with torch.no_grad():
        predicted = model.predicted_return(model.plan_from_noise(plans))
    # Squared errors above the least one, factored: exact for a target of any size in float32.
    asked = targets[:, None]
    nearest = predicted[(asked - predicted).abs().argmin(-1)][:, None]
    excess = (predicted - nearest) * (predicted + nearest - 2 * asked)  # [B, S]
    chances = (-0.5 * config.weight / model.config.return_std**2 * excess).softmax(-1)
    drawn = torch.multinomial(chances, config.draws, replacement=True, generator=generator)
    mean = (chances * predicted).sum(-1)
    spread = (chances * (predicted - mean[:, None]).square()).sum(-1).sqrt()
    effective = 1.0 / chances.square().sum(-1)
    return plans[drawn].mean(1), Choice(effective, spread, predicted.max())


def _fit(
    model: LatentPlanTransformer,
    targets: Tensor,
    config: PlanningConfig,
    generator: torch.Generator,
) -> tuple[Tensor, None]:
    """Return the mean of a fitted Gaussian for each target, or a draw from it; `[B, N, D]`.

    Episodes of one target share a fit.
    """
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
    z0 = fit.mean[which]
    return (z0 + fit.std[which] * noise_like(z0, generator) if config.sample else z0), None


METHODS = {"langevin": _sample, "variational": _fit, "aggregated": _resample}
"""How a plan is inferred, by `planning.method`."""
