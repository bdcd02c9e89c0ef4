"""Posterior inference while learning: the expectation in `grad log p(tau, y)`.

`E_{p(z0|tau,y)} grad log p(tau, y, z0)` needs plans `z0` for every trajectory of a batch. Each
engine gives them by `infer`, and owns what it remembers between batches:

* `Langevin`: persistent chains, a few unadjusted steps a visit (the paper's).
* `Preconditioned`: the same chains with gradients scaled by their running root mean square.
* `Variational`: a Gaussian for each trajectory, fitted anew by Adam from the prior.
* `Amortized`: a proposal network `q(z0 | tau, y)` gives the start, optional Langevin steps correct
  it; the proposal learns by the evidence bound from the very first energy gradient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import torch
from torch import Tensor, nn

from lpt.config import PosteriorConfig
from lpt.inference.chains import Chains
from lpt.inference.noise import Noise, noise_like
from lpt.inference.proposal import Proposal
from lpt.inference.samplers import (
    Chain,
    Energy,
    Preconditioner,
    energy_and_gradient,
    langevin,
    preconditioned_langevin,
)
from lpt.inference.variational import fit_gaussian, gaussian_kl
from lpt.machine.processes import Ranks


@dataclass(frozen=True)
class Evidence:
    """What the plans of a batch are inferred from."""

    energy: Energy
    """`-log p(z0) - log p(tau, y | z0) / prior_weight`, `[B, N, D] -> [B]` nats."""
    index: Tensor
    """`[B]` trajectory numbers in the data set, on the CPU."""
    returns: Tensor
    """`[B]` standardized returns."""
    prior_weight: float
    """b; with b < 1 the likelihood counts 1/b times in the posterior, which is the density whose
    evidence bound weights the prior's KL by b."""


@dataclass(frozen=True)
class PosteriorSample:
    """Plans for a batch of trajectories."""

    z0: Tensor
    """`[B, N, D]`; carries a gradient to the proposal where the engine learns by the bound."""
    penalty: Tensor
    """Scalar to add to the loss: the proposal's own objective, nats a trajectory."""
    diagnostics: dict[str, float] = field(default_factory=dict)
    """Scalars for the log."""


class PosteriorEngine(Protocol):
    """How plans are inferred while learning."""

    persistent: bool
    """Whether it keeps one chain for each trajectory across visits."""

    def infer(self, evidence: Evidence, noise: Noise) -> PosteriorSample:
        """Infer plans for a batch; `noise` is on the model's device."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return what learns with the model."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that it remembers, of all processes, which must all ask for it."""

    def load_state_dict(self, state: dict[str, Tensor]) -> object:
        """Take up a `state_dict`; raises ValueError or RuntimeError for another run's."""


class Langevin:
    """Persistent chains, moved by unadjusted Langevin steps at each visit (the paper's)."""

    persistent = True
    default_steps: ClassVar[int] = 3
    default_step_size: ClassVar[float] = 0.3

    def __init__(self, config: PosteriorConfig, chains: Chains, ranks: Ranks) -> None:
        """Take over chains, one for each trajectory of this process's shard.

        Raises:
            ValueError: if `config.steps` is below 1.
        """
        self.steps, self.step_size = _steps_of(self, config, at_least=1)
        self.chains, self.ranks = chains, ranks

    def infer(self, evidence: Evidence, noise: Noise) -> PosteriorSample:
        """Move the chains of a batch's trajectories on, and keep them."""
        start = self.chains.read(evidence.index).to(evidence.returns.device)
        chain = self._move(evidence.energy, start, noise)
        self.chains.write(evidence.index, chain.z0)
        visits = {"chain/visits": float(self.chains.visits.float().mean())}
        return PosteriorSample(chain.z0, _zero(chain.z0), {**_describe(chain), **visits})

    def _move(self, energy: Energy, start: Tensor, noise: Noise) -> Chain:
        return langevin(energy, start, self.steps, self.step_size, noise)

    def parameters(self) -> Iterable[nn.Parameter]:
        """Nothing learns here."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """Return the chains of all processes."""
        return {f"chains.{name}": value for name, value in self.chains.gathered(self.ranks).items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up this shard's part of the chains.

        Raises:
            ValueError: if they are of other trajectories or another plan shape.
        """
        chains = {k.removeprefix("chains."): v for k, v in state.items() if k.startswith("chains.")}
        self.chains.load_state_dict(chains)


class Preconditioned(Langevin):
    """The same chains, each coordinate scaled by the running size of its gradients."""

    default_steps = 8

    def __init__(self, config: PosteriorConfig, chains: Chains, ranks: Ranks) -> None:
        """Take over chains, as `Langevin`."""
        super().__init__(config, chains, ranks)
        self.preconditioner = Preconditioner(chains.plan_shape, mean=ranks.mean)

    def _move(self, energy: Energy, start: Tensor, noise: Noise) -> Chain:
        scale = self.preconditioner
        return preconditioned_langevin(energy, start, self.steps, self.step_size, noise, scale)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the chains of all processes, and the gradients' mean square."""
        own = self.preconditioner
        return {
            **super().state_dict(),
            "preconditioner.mean_square": own.mean_square,
            "preconditioner.updates": torch.tensor(own.updates),
        }

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up chains, as `Langevin`, and the gradients' mean square."""
        super().load_state_dict(state)
        self.preconditioner.mean_square = state["preconditioner.mean_square"]
        self.preconditioner.updates = int(state["preconditioner.updates"])


class Variational:
    """A Gaussian for each trajectory, fitted anew by Adam from the prior at each visit."""

    persistent = False
    default_steps: ClassVar[int] = 8
    default_step_size: ClassVar[float] = 0.3

    def __init__(self, config: PosteriorConfig, plan_shape: tuple[int, int]) -> None:
        """Fit plans of `(N, D)`.

        Raises:
            ValueError: if `config.steps` is below 1.
        """
        self.steps, self.step_size = _steps_of(self, config, at_least=1)
        self.plan_shape = plan_shape

    def infer(self, evidence: Evidence, noise: Noise) -> PosteriorSample:
        """Fit, and draw one plan each."""
        returns = evidence.returns
        start = returns.new_zeros(len(returns), *self.plan_shape)
        steps, size = self.steps, self.step_size
        fit = fit_gaussian(evidence.energy, start, start + 1.0, steps, size, noise)
        z0 = fit.mean + fit.std * noise_like(fit.mean, noise)
        kl = float(gaussian_kl(fit.mean, fit.std).mean())
        return PosteriorSample(z0, _zero(z0), {"chain/kl": kl, **_norms(z0)})

    def parameters(self) -> Iterable[nn.Parameter]:
        """Nothing learns here."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """Nothing is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing is remembered."""


class Amortized(nn.Module):
    """A proposal network gives the start of a chain, or with no steps the plan itself."""

    persistent = False
    default_steps: ClassVar[int] = 0
    default_step_size: ClassVar[float] = 0.1

    def __init__(
        self,
        config: PosteriorConfig,
        proposal: Proposal,
        overview: Callable[[Tensor], Tensor],
        propose: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
    ) -> None:
        """Learn a proposal.

        Args:
            config: steps and their size.
            proposal: the network.
            overview: gives `[B, P, obs + act + 1]` steps of trajectories `[B]` for it to read.
            propose: calls the network, in another precision for instance; unset: as it is.

        Raises:
            ValueError: if `config.steps` is below 0.
        """
        super().__init__()
        self.steps, self.step_size = _steps_of(self, config, at_least=0)
        self.proposal, self.overview = proposal, overview
        self.propose = propose or proposal.forward

    def infer(self, evidence: Evidence, noise: Noise) -> PosteriorSample:
        """Propose plans, and correct them by Langevin steps if there are any."""
        mean, std = self.propose(self.overview(evidence.index), evidence.returns)
        z0 = mean + std * noise_like(mean, noise)
        kl = gaussian_kl(mean, std)
        diagnostics = {"chain/kl": float(kl.detach().mean()), **_norms(z0.detach())}
        if self.steps == 0:
            return PosteriorSample(z0, evidence.prior_weight * kl.mean(), diagnostics)
        # The evidence bound's gradient for the proposal is the energy's gradient at its sample,
        # through z0, less the entropy's; the network's parameters learn at the chain's end.
        _, gradient = energy_and_gradient(evidence.energy, z0)
        bound = (gradient * z0).flatten(1).sum(1) - std.log().flatten(1).sum(1)
        chain = langevin(evidence.energy, z0.detach(), self.steps, self.step_size, noise)
        penalty = evidence.prior_weight * bound.mean()
        return PosteriorSample(chain.z0, penalty, {**diagnostics, **_describe(chain)})


def _steps_of(engine: PosteriorEngine, config: PosteriorConfig, at_least: int) -> tuple[int, float]:
    """Step a visit and their size: as configured, else the engine's own."""
    kind = type(engine)
    steps = kind.default_steps if config.steps is None else config.steps  # type: ignore[attr-defined]
    size = kind.default_step_size if config.step_size is None else config.step_size  # type: ignore[attr-defined]
    if steps < at_least:
        name = kind.__name__.lower()
        raise ValueError(f"posterior.steps={steps}: engine {name} needs at least {at_least}")
    return steps, size


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
