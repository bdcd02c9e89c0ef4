"""Samplers over prior noise ``z0``. They know an energy, never a network.

An energy maps ``z0 [B, N, D]`` to ``[B]`` nats, the negative log of an unnormalised density, one
independent density for each row. Learning uses ``-log p(tau, y, z0)``, planning
``-log p(z0) - w log p(y | z0)``; a test uses a quadratic whose posterior is known in closed form.

All samplers move a whole batch of chains at once and take their randomness from one generator, or
from a :class:`SharedNoise` where a batch is shared among processes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lpt.distributed import Ranks

Energy = Callable[[Tensor], Tensor]
"""``[B, N, D] -> [B]`` nats."""


@dataclass(frozen=True)
class Chain:
    """Where a batch of chains ended, and how it went."""

    z0: Tensor
    """``[B, N, D]`` final states (detached)."""
    energies: Tensor
    """``[steps, B]`` energy before each step, in nats."""
    gradient_norm: float
    """Mean norm of the last energy gradient: compare with the noise of a step."""
    acceptance: float = 1.0
    """Mean acceptance probability; 1 for unadjusted samplers."""
    step_size: float = 0.0
    """Mean step size of the last step."""


def energy_and_gradient(energy: Energy, z0: Tensor) -> tuple[Tensor, Tensor]:
    """Energy ``[B]`` and its gradient ``[B, N, D]``; parameters get no gradient."""
    with torch.enable_grad():
        z0 = z0.detach().requires_grad_()
        value = energy(z0)
        (gradient,) = torch.autograd.grad(value.sum(), z0)
    return value.detach(), gradient


class SharedNoise:
    """Noise for some rows of a batch that does not depend on which rows these are.

    It is drawn for the whole batch and cut, so that processes with a part each, and generators in
    the same state, together have the noise of a process on its own.
    """

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator
        self.rows: Tensor | None = None
        self.total = 0

    def share(self, rows: Tensor, total: int) -> None:
        """From now on noise is for ``rows`` ``[b]`` of a batch of ``total``."""
        self.rows, self.total = rows.to(self.generator.device), total

    def normal(self, like: Tensor) -> Tensor:
        """Standard normal, shaped like ``[b, ...]``."""
        return self._cut(torch.randn, like)

    def uniform(self, like: Tensor) -> Tensor:
        """Uniform in [0, 1), shaped like ``[b, ...]``."""
        return self._cut(torch.rand, like)

    def _cut(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        settings = {"generator": self.generator, "device": like.device, "dtype": like.dtype}
        if self.rows is None or self.total == len(like):
            return draw(like.shape, **settings)
        return draw((self.total, *like.shape[1:]), **settings)[self.rows]


Noise = torch.Generator | SharedNoise
"""Where noise comes from."""


def noise_like(z0: Tensor, generator: Noise) -> Tensor:
    """Standard normal noise shaped like ``z0``."""
    if isinstance(generator, SharedNoise):
        return generator.normal(z0)
    return torch.randn(z0.shape, generator=generator, device=z0.device, dtype=z0.dtype)


def uniform_like(x: Tensor, generator: Noise) -> Tensor:
    """Uniform numbers in [0, 1) shaped like ``x``."""
    if isinstance(generator, SharedNoise):
        return generator.uniform(x)
    return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def langevin(energy: Energy, z0: Tensor, steps: int, step_size: float, generator: Noise) -> Chain:
    """Unadjusted Langevin: ``z <- z - s^2/2 grad E(z) + s eps`` (paper, eq. 8).

    Args:
        energy: the energy, nats.
        z0: ``[B, N, D]`` starts.
        steps: number of steps.
        step_size: ``s``; stable while ``s^2 / 2`` times the largest curvature is below 2.
        generator: source of the noise.
    """
    trace = []
    gradient = torch.zeros_like(z0)
    for _ in range(steps):
        value, gradient = energy_and_gradient(energy, z0)
        trace.append(value)
        z0 = z0.detach() - 0.5 * step_size**2 * gradient + step_size * noise_like(z0, generator)
    return Chain(z0.detach(), _stack(trace, z0), _norm(gradient), step_size=step_size)


class Preconditioner:
    """Running mean square of the energy gradient, one number for each coordinate of ``z0``.

    The mean is also over the batch: a chain's own gradient then hardly moves its own step, and the
    bias that a state-dependent step would bring fades with the batch (compare pSGLD, Li et al.,
    2016; STANLEY, Karimi et al., 2023).
    """

    def __init__(
        self, plan_shape: tuple[int, int], decay: float = 0.9, ranks: Ranks | None = None
    ) -> None:
        self.decay, self.updates, self.ranks = decay, 0, ranks or Ranks()
        self.mean_square = torch.zeros(plan_shape)

    def update(self, gradient: Tensor) -> Tensor:
        """Take in ``[B, N, D]`` gradients; returns the scale ``[N, D]``, 1 for a unit curvature.

        B is this process's part of a batch, the mean is over all of it.
        """
        square = self.ranks.mean(gradient.square())
        self.mean_square = self.decay * self.mean_square.to(square) + (1 - self.decay) * square
        self.updates += 1
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
    """Langevin with a diagonal metric: ``z <- z - s^2/2 G grad E + s sqrt(G) eps``."""
    trace = []
    gradient = torch.zeros_like(z0)
    for _ in range(steps):
        value, gradient = energy_and_gradient(energy, z0)
        trace.append(value)
        scale = preconditioner.update(gradient)
        noise = scale.sqrt() * noise_like(z0, generator)
        z0 = z0.detach() - 0.5 * step_size**2 * scale * gradient + step_size * noise
    return Chain(z0.detach(), _stack(trace, z0), _norm(gradient), step_size=step_size)


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
    ``adapt`` steps (half of them by default) the chain's step shrinks or grows towards an
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
    acceptance = float(accepted.mean()) / max(steps - adapt, 1)
    return Chain(z0, _stack(trace, z0), _norm(gradient), acceptance, float(size.mean()))


@dataclass(frozen=True)
class GaussianFit:
    """A diagonal Gaussian over ``z0`` fitted to a density, one for each row."""

    mean: Tensor
    """``[B, N, D]``."""
    std: Tensor
    """``[B, N, D]``."""
    energies: Tensor
    """``[steps, B]`` energy at each step's sample, in nats."""


def fit_gaussian(
    energy: Energy,
    mean: Tensor,
    std: Tensor,
    steps: int,
    step_size: float,
    generator: Noise,
    samples: int = 1,
) -> GaussianFit:
    """Variational inference: minimise ``E_q[E(z0)] - H(q)`` over a diagonal Gaussian by Adam.

    Adam's steps do not depend on the gradient's size, so plans leave the prior while the energy is
    still nearly flat. The step size falls linearly to a tenth, so that the fit settles.

    Args:
        energy: the energy, nats.
        mean: ``[B, N, D]`` start of the means.
        std: ``[B, N, D]`` start of the standard deviations.
        steps: Adam steps.
        step_size: Adam's learning rate at the first step.
        generator: source of the samples.
        samples: S, draws a step; above 1 they come in pairs of opposite noise, and the energy is
            called with ``S * B`` rows, the whole batch once for each draw.
    """
    mean = mean.detach().clone().requires_grad_()
    log_std = std.detach().log().requires_grad_()
    optimizer = torch.optim.Adam([mean, log_std], lr=step_size, betas=(0.9, 0.95))
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
    return GaussianFit(mean.detach(), log_std.detach().exp(), _stack(trace, mean))


def _opposite_noise(like: Tensor, samples: int, generator: Noise) -> Tensor:
    """``[S, B, N, D]`` normal noise in pairs of opposite sign, whose odd errors cancel."""
    half = torch.stack([noise_like(like, generator) for _ in range((samples + 1) // 2)])
    return torch.cat((half, -half))[:samples]


def gaussian_kl(mean: Tensor, std: Tensor) -> Tensor:
    """``KL(Normal(mean, std^2) || Normal(0, I))`` of each row, ``[B, N, D] -> [B]`` nats."""
    terms = mean.square() + std.square() - 1.0 - 2.0 * std.log()
    return 0.5 * terms.flatten(1).sum(-1)


def _stack(trace: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(trace) if trace else like.new_zeros(0, like.shape[0])


def _norm(gradient: Tensor) -> float:
    return float(gradient.flatten(1).norm(dim=1).mean())
