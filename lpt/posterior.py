"""Posterior inference while learning: the expectation in ``grad log p(tau, y)``.

``E_{p(z0|tau,y)} grad log p(tau, y, z0)`` needs plans ``z0`` for every trajectory of a batch. Four
engines give them, behind one call:

* ``langevin``: persistent chains, a few unadjusted steps a visit (the paper's).
* ``preconditioned``: the same chains with gradients scaled by their running root mean square.
* ``variational``: a Gaussian for each trajectory, fitted anew by Adam from the prior.
* ``amortised``: a proposal network ``q(z0 | tau, y)`` gives the start, optional Langevin steps
  correct it; the proposal learns by the evidence bound from the very first energy gradient.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from lpt.chains import Chains
from lpt.distributed import Ranks
from lpt.inference import (
    Chain,
    Energy,
    Noise,
    Preconditioner,
    energy_and_gradient,
    fit_gaussian,
    gaussian_kl,
    langevin,
    noise_like,
    preconditioned_langevin,
)
from lpt.proposal import Proposal

Engine = Literal["amortised", "langevin", "preconditioned", "variational"]
DEFAULT_STEPS: dict[str, tuple[int, float]] = {
    "amortised": (0, 0.1),
    "langevin": (3, 0.3),
    "preconditioned": (8, 0.3),
    "variational": (8, 0.3),
}
"""Steps a visit and step size of each engine, where the config leaves them open."""

PERSISTENT = ("langevin", "preconditioned")
"""Engines that keep one chain for each trajectory across visits."""


@dataclass(frozen=True, kw_only=True)
class PosteriorConfig:
    """How plans are inferred while learning (the engine itself is ``--inference``)."""

    steps: int | None = None
    """Langevin or Adam steps a visit; unset: the engine's own default."""
    step_size: float | None = None
    """Langevin step size s or Adam's learning rate; unset: the engine's own default."""
    prior_weight: float = 1.0
    """Weight of log p(z0) in the joint; below 1 plans may carry more information."""
    prior_start: float = 0.1
    """The prior's weight at the first update, as a share of ``prior_weight``."""
    prior_warmup: int = 1500
    """Updates over which the prior's weight rises to its full value."""
    return_weight: float = 1.0
    """Power of p(y | z) while learning. Below 1 (the same as a wider sigma_y, in learning only)
    the plan has less to gain from explaining luck: it is left to tell who acts."""

    def __post_init__(self) -> None:
        """Raise ValueError for weights that are no weights."""
        for name in ("prior_weight", "prior_start", "return_weight"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"posterior.{name}={getattr(self, name)} must be positive, finite")
        if self.prior_warmup < 0:
            raise ValueError(f"posterior.prior_warmup={self.prior_warmup} must not be negative")

    def weight_at(self, update: int) -> float:
        """The prior's weight at an update."""
        share = min(1.0, update / self.prior_warmup) if self.prior_warmup else 1.0
        return self.prior_weight * (self.prior_start + (1.0 - self.prior_start) * share)


@dataclass(frozen=True)
class PosteriorSample:
    """Plans for a batch of trajectories."""

    z0: Tensor
    """``[B, N, D]``; carries a gradient to the proposal where the engine learns by the bound."""
    penalty: Tensor
    """Scalar to add to the loss: the proposal's own objective, nats a trajectory."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """Scalars for the log."""


class Posterior(nn.Module):
    """One engine with what it remembers: chains, preconditioner, proposal."""

    def __init__(
        self,
        engine: Engine,
        config: PosteriorConfig,
        chains: Chains,
        proposal: Proposal,
        ranks: Ranks | None = None,
    ) -> None:
        """Build the engine.

        Args:
            engine: one of the four names.
            config: steps and weights.
            chains: persistent chains; read by ``langevin`` and ``preconditioned``.
            proposal: read and trained by ``amortised``.
            ranks: the processes that share a batch; unset: this one alone.

        Raises:
            ValueError: for an unknown engine, or one that needs steps and has none.
        """
        super().__init__()
        if engine not in DEFAULT_STEPS:
            raise ValueError(
                f"unknown inference engine {engine!r}: choose from {sorted(DEFAULT_STEPS)}"
            )
        steps, size = DEFAULT_STEPS[engine]
        self.engine, self.chains = engine, chains
        self.steps = steps if config.steps is None else config.steps
        self.step_size = size if config.step_size is None else config.step_size
        if self.steps < (engine != "amortised"):
            raise ValueError(f"posterior.steps={self.steps}: the {engine} engine needs at least 1")
        self.proposal = proposal if engine == "amortised" else None
        self.plan_shape = proposal.plan_shape
        self.preconditioner = Preconditioner(self.plan_shape, ranks=ranks)

    @property
    def persistent(self) -> bool:
        """Whether the engine keeps one chain for each trajectory across visits."""
        return self.engine in PERSISTENT

    def sample(
        self,
        energy: Energy,
        index: Tensor,
        overview: Tensor,
        returns: Tensor,
        prior_weight: float,
        generator: Noise,
    ) -> PosteriorSample:
        """Infer plans for a batch.

        Args:
            energy: ``-log p(z0) - log p(tau, y | z0) / prior_weight``, ``[B, N, D] -> [B]`` nats.
            index: ``[B]`` trajectory numbers in the data set.
            overview: ``[B, P, obs + act + 1]`` steps for the proposal.
            returns: ``[B]`` standardised returns.
            prior_weight: b; with b < 1 the likelihood counts 1/b times in the posterior, which is
                the density whose evidence bound weights the prior's KL by b.
            generator: source of noise, on the model's device.
        """
        if self.proposal is not None:
            return self._amortised(energy, overview, returns, prior_weight, generator)
        if self.engine == "variational":
            return self._variational(energy, returns, generator)
        chain = self._move(energy, self.chains.read(index).to(returns.device), generator)
        self.chains.write(index, chain.z0)
        visits = float(self.chains.visits.float().mean())
        return PosteriorSample(
            chain.z0, _zero(chain.z0), {**_describe(chain), "chain/visits": visits}
        )

    def _move(self, energy: Energy, start: Tensor, generator: Noise) -> Chain:
        if self.engine == "langevin":
            return langevin(energy, start, self.steps, self.step_size, generator)
        return preconditioned_langevin(
            energy, start, self.steps, self.step_size, generator, self.preconditioner
        )

    def _variational(self, energy: Energy, returns: Tensor, generator: Noise) -> PosteriorSample:
        start = returns.new_zeros(len(returns), *self.plan_shape)
        fit = fit_gaussian(energy, start, start + 1.0, self.steps, self.step_size, generator)
        z0 = fit.mean + fit.std * noise_like(fit.mean, generator)
        kl = float(gaussian_kl(fit.mean, fit.std).mean())
        return PosteriorSample(z0, _zero(z0), {"chain/kl": kl, **_norms(z0)})

    def _amortised(
        self,
        energy: Energy,
        overview: Tensor,
        returns: Tensor,
        prior_weight: float,
        generator: Noise,
    ) -> PosteriorSample:
        assert self.proposal is not None
        mean, std = self.proposal(overview, returns)
        z0 = mean + std * noise_like(mean, generator)
        kl = gaussian_kl(mean, std)
        diagnostics = {"chain/kl": float(kl.detach().mean()), **_norms(z0.detach())}
        if self.steps == 0:
            return PosteriorSample(z0, prior_weight * kl.mean(), diagnostics)
        # The evidence bound's gradient for the proposal is the energy's gradient at its sample,
        # through z0, less the entropy's; the network's parameters learn at the chain's end.
        _, gradient = energy_and_gradient(energy, z0)
        bound = (gradient * z0).flatten(1).sum(1) - std.log().flatten(1).sum(1)
        chain = langevin(energy, z0.detach(), self.steps, self.step_size, generator)
        penalty = prior_weight * bound.mean()
        return PosteriorSample(chain.z0, penalty, {**diagnostics, **_describe(chain)})


def _zero(like: Tensor) -> Tensor:
    return torch.zeros((), device=like.device)


def _norms(z0: Tensor) -> dict[str, float]:
    # A chain that knows nothing has E|z0|^2 / (N D) = 1, the prior's.
    return {"chain/mean_square": float(z0.square().mean())}


def _describe(chain: Chain) -> dict[str, float]:
    start, end = chain.energies[0].mean(), chain.energies[-1].mean()
    noise = chain.step_size * chain.z0.shape[1:].numel() ** 0.5
    return {
        **_norms(chain.z0),
        "chain/energy_drop": float(start - end),
        "chain/gradient_norm": chain.gradient_norm,
        "chain/noise_norm": noise,
    }
