"""Samplers over prior noise `z0`. They know an energy, never a network.

An energy maps `z0 [B, N, D]` to `[B]` nats, the negative log of an unnormalized density, one
independent density for each row. Learning uses `-log p(tau, y, z0)`, planning
`-log p(z0) - w log p(y | z0)`; a test uses a quadratic whose posterior is known in closed form.

All samplers move a whole batch of chains at once and take their randomness from one source
(`lpt.inference.noise`). None of them waits for the device: what they tell of a chain stays there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lpt.inference.noise import Noise, noise_like, uniform_like

Energy = Callable[[Tensor], Tensor]
"""`[B, N, D] -> [B]` nats."""


@dataclass(frozen=True)
class Chain:
    """Where a batch of chains ended, and how it went."""

    z0: Tensor
    """`[B, N, D]` final states (detached)."""
    energies: Tensor
    """`[steps, B]` energy before each step, in nats; of corrected steps also after the last."""
    gradient_norm: Tensor
    """Scalar, mean norm of the last energy gradient: compare with the noise of a step."""
    acceptance: float | Tensor = 1.0
    """Mean acceptance probability, a scalar; 1 for unadjusted samplers."""
    step_size: float | Tensor = 0.0
    """Mean step size of the last step, a scalar."""


def energy_and_gradient(energy: Energy, z0: Tensor) -> tuple[Tensor, Tensor]:
    """Energy `[B]` and its gradient `[B, N, D]`; parameters get no gradient."""
    with torch.enable_grad():
        z0 = z0.detach().requires_grad_()
        value = energy(z0)
        (gradient,) = torch.autograd.grad(value.sum(), z0)
    return value.detach(), gradient


def langevin(
    energy: Energy,
    z0: Tensor,
    steps: int,
    step_size: float,
    generator: Noise,
    std: Tensor | None = None,
) -> Chain:
    """Unadjusted Langevin: `z <- z - s^2/2 grad E(z) + s eps` (paper, eq. 8).

    Args:
        energy: the energy, nats.
        z0: `[B, N, D]` starts.
        steps: number of steps.
        step_size: `s`; stable while `s^2 / 2` times the largest curvature is below 2.
        generator: source of the noise.
        std: `[B, N, D]` or `[N, D]` length scale of each coordinate, in whose units `s` is; unset:
            1.
    """
    trace = []
    gradient = torch.zeros_like(z0)
    for _ in range(steps):
        value, gradient = energy_and_gradient(energy, z0)
        trace.append(value)
        drift, noise = 0.5 * step_size**2 * gradient, step_size * noise_like(z0, generator)
        if std is not None:
            drift, noise = drift * std.square(), noise * std
        z0 = z0.detach() - drift + noise
    return Chain(z0.detach(), _stack(trace, z0), _norm(gradient), step_size=step_size)


class Preconditioner:
    """Running mean square of the energy gradient, one number for each coordinate of `z0`.

    The mean is also over the batch: a chain's own gradient then hardly moves its own step, and the
    bias that a state-dependent step would bring fades with the batch (compare pSGLD, Li et al.,
    2016; STANLEY, Karimi et al., 2023).
    """

    def __init__(
        self,
        plan_shape: tuple[int, int],
        decay: float = 0.9,
        mean: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        """Start with no gradient seen.

        Args:
            plan_shape: `(N, D)` of `z0`.
            decay: of the running mean, a step.
            mean: mean over a batch's rows `[B, ...]`, those of other processes included; unset:
                over the rows that are given.
        """
        self.decay, self.updates = decay, 0
        self.mean = mean or (lambda rows: rows.mean(0))
        self.mean_square = torch.zeros(plan_shape)

    def update(self, gradient: Tensor) -> Tensor:
        """Take in `[B, N, D]` gradients; returns the scale `[N, D]`, 1 for a unit curvature."""
        square = self.mean(gradient.square())
        self.mean_square = self.decay * self.mean_square.to(square) + (1 - self.decay) * square
        self.updates += 1
        return self.scale()

    def scale(self) -> Tensor:
        """Return the scale `[N, D]` by the gradients seen so far, at least one."""
        mean_square = self.mean_square / (1 - self.decay**self.updates)
        return 1.0 / (mean_square.sqrt() + 1e-3)


def preconditioned_langevin(
    energy: Energy,
    z0: Tensor,
    steps: int,
    step_size: float,
    generator: Noise,
    preconditioner: Preconditioner,
) -> Chain:
    """Langevin with a diagonal metric: `z <- z - s^2/2 G grad E + s sqrt(G) eps`."""
    trace = []
    gradient = torch.zeros_like(z0)
    for _ in range(steps):
        value, gradient = energy_and_gradient(energy, z0)
        trace.append(value)
        scale = preconditioner.update(gradient)
        noise = scale.sqrt() * noise_like(z0, generator)
        z0 = z0.detach() - 0.5 * step_size**2 * scale * gradient + step_size * noise
    return Chain(z0.detach(), _stack(trace, z0), _norm(gradient), step_size=step_size)


def metropolis_langevin(
    energy: Energy,
    z0: Tensor,
    steps: int,
    step_size: float | Tensor,
    generator: Noise,
    std: Tensor | None = None,
    start: tuple[Tensor, Tensor] | None = None,
) -> Chain:
    """Metropolis-adjusted Langevin with one step size, in a metric of its own for each row.

    A step proposes `z - s^2/2 std^2 grad E + s std eps` and is accepted or refused so that the
    energy's density is left exactly as it is, for any `s` and any `std` that do not depend on `z`.

    Args:
        energy: the energy, nats.
        z0: `[B, N, D]` starts.
        steps: number of steps.
        step_size: `s`, in units of `std`.
        generator: source of the noise.
        std: `[B, N, D]` or `[N, D]` length scale of each coordinate; unset: 1.
        start: energy and gradient at `z0`, where they are known.
    """
    std = torch.ones_like(z0[:1]) if std is None else std
    value, gradient = energy_and_gradient(energy, z0) if start is None else start
    z0, trace, accepted = z0.detach(), [], torch.zeros_like(value)
    for _ in range(steps):
        trace.append(value)
        noise = noise_like(z0, generator)
        proposal = z0 - 0.5 * step_size**2 * std.square() * gradient + step_size * std * noise
        new_value, new_gradient = energy_and_gradient(energy, proposal)
        back = z0 - proposal + 0.5 * step_size**2 * std.square() * new_gradient
        back = back / (step_size * std)
        log_ratio = value - new_value + 0.5 * (noise.square() - back.square()).flatten(1).sum(1)
        probability = log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp()
        accept = uniform_like(probability, generator) < probability
        z0 = torch.where(accept[:, None, None], proposal, z0)
        gradient = torch.where(accept[:, None, None], new_gradient, gradient)
        value = torch.where(accept, new_value, value)
        accepted += probability
    acceptance = accepted.mean() / max(steps, 1)
    trace.append(value)
    return Chain(z0, _stack(trace, z0), _norm(gradient), acceptance, step_size)


def adjusted_langevin(
    energy: Energy,
    z0: Tensor,
    steps: int,
    step_size: float,
    generator: torch.Generator,
    adapt: int | None = None,
) -> Chain:
    """Metropolis-adjusted Langevin (MALA) with a step size of its own for each chain.

    A proposal that a stiff energy would throw out of bounds is rejected, and during the first
    `adapt` steps (half of them by default) the chain's step shrinks or grows towards an
    acceptance of 0.574 (Roberts and Rosenthal, 1998); so it is stable for any weight of the return,
    and the states after the adaptation follow the exact density.
    """
    adapt = steps // 2 if adapt is None else adapt
    size = torch.full_like(z0[:, :1, :1], step_size)
    value, gradient = energy_and_gradient(energy, z0)
    z0, trace, accepted = z0.detach(), [], torch.zeros_like(value)
    for step in range(steps):
        trace.append(value)
        proposal = z0 - 0.5 * size**2 * gradient + size * noise_like(z0, generator)
        new_value, new_gradient = energy_and_gradient(energy, proposal)
        forward = (proposal - z0 + 0.5 * size**2 * gradient).square().flatten(1).sum(1)
        back = (z0 - proposal + 0.5 * size**2 * new_gradient).square().flatten(1).sum(1)
        log_ratio = value - new_value + (forward - back) / (2 * size.flatten() ** 2)
        probability = log_ratio.nan_to_num(-torch.inf).clamp(max=0).exp()
        uniform = torch.rand(value.shape, generator=generator, device=value.device)
        accept = uniform < probability
        z0 = torch.where(accept[:, None, None], proposal, z0)
        gradient = torch.where(accept[:, None, None], new_gradient, gradient)
        value = torch.where(accept, new_value, value)
        if step < adapt:
            size = size * (0.3 * (probability - 0.574)).exp()[:, None, None]
        else:
            accepted += probability
    acceptance = accepted.mean() / max(steps - adapt, 1)
    return Chain(z0, _stack(trace, z0), _norm(gradient), acceptance, size.mean())


def _stack(trace: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(trace) if trace else like.new_zeros(0, like.shape[0])


def _norm(gradient: Tensor) -> Tensor:
    norms: Tensor = gradient.flatten(1).norm(dim=1)
    return norms.mean()
