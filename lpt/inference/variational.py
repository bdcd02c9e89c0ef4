"""A diagonal Gaussian over `z0`, fitted to an energy by Adam; and its distance from the prior."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lpt.inference.noise import Noise, noise_like
from lpt.inference.samplers import Energy
from lpt.machine.optimizers import Adam


@dataclass(frozen=True)
class GaussianFit:
    """A diagonal Gaussian over `z0` fitted to a density, one for each row."""

    mean: Tensor
    """`[B, N, D]`."""
    std: Tensor
    """`[B, N, D]`."""
    energies: Tensor
    """`[steps, B]` energy at each step's sample, in nats."""


def fit_gaussian(
    energy: Energy,
    mean: Tensor,
    std: Tensor,
    steps: int,
    step_size: float,
    generator: Noise,
    samples: int = 1,
) -> GaussianFit:
    """Variational inference: minimize `E_q[E(z0)] - H(q)` over a diagonal Gaussian by Adam.

    Adam's steps do not depend on the gradient's size, so plans leave the prior while the energy is
    still nearly flat. The step size falls linearly to a tenth, so that the fit settles.

    Args:
        energy: the energy, nats.
        mean: `[B, N, D]` start of the means.
        std: `[B, N, D]` start of the standard deviations.
        steps: Adam steps.
        step_size: Adam's learning rate at the first step.
        generator: source of the samples.
        samples: S, draws a step; above 1 they come in pairs of opposite noise, and the energy is
            called with `S * B` rows, the whole batch once for each draw.
    """
    mean = mean.detach().clone().requires_grad_()
    log_std = std.detach().log().requires_grad_()
    optimizer = Adam([mean, log_std], lr=step_size, betas=(0.9, 0.95))
    trace = []
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = step_size * (1.0 - 0.9 * step / steps)
        with torch.enable_grad():
            noise = _opposite_noise(mean, samples, generator)
            value = energy((mean + log_std.exp() * noise).flatten(0, 1)).view(samples, -1).mean(0)
            loss = value.sum() - log_std.sum()
            mean.grad, log_std.grad = torch.autograd.grad(loss, (mean, log_std))
        optimizer.step()
        trace.append(value.detach())
    return GaussianFit(mean.detach(), log_std.detach().exp(), torch.stack(trace))


def _opposite_noise(like: Tensor, samples: int, generator: Noise) -> Tensor:
    """`[S, B, N, D]` normal noise in pairs of opposite sign, whose odd errors cancel."""
    half = torch.stack([noise_like(like, generator) for _ in range((samples + 1) // 2)])
    return torch.cat((half, -half))[:samples]


def gaussian_kl(mean: Tensor, std: Tensor) -> Tensor:
    """`KL(Normal(mean, std^2) || Normal(0, I))` of each row, `[B, N, D] -> [B]` nats."""
    terms = mean.square() + std.square() - 1.0 - 2.0 * std.log()
    return 0.5 * terms.flatten(1).sum(-1)
