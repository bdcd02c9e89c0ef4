"""Posterior inference while learning: the expectation in `grad log p(tau, y)`.

`E_{p(z0|tau,y)} grad log p(tau, y, z0)` needs plans `z0` for every trajectory of a batch. There are
two engines, which give them by `infer` and own what they remember between batches:

* `LangevinEngine`: a few Langevin steps. Three choices make it what it is: where a chain starts
  (where it was left, at a draw of a proposal network, or at one of the prior), in which metric it
  moves, and whether its steps are corrected. The paper's engine is one point of it, an amortized
  variational model (the proposal's draw and no step) another.
* `Variational`: a Gaussian for each trajectory, fitted anew by Adam from the prior.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Literal, Protocol

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
    metropolis_langevin,
    preconditioned_langevin,
)
from lpt.inference.variational import fit_gaussian, gaussian_kl
from lpt.machine.processes import Ranks

ACCEPTANCE = 0.6
"""What a corrected chain's step size adapts to (0.574 is best in high dimensions)."""
LARGEST_STEP = 1.5
"""Of a corrected chain, in units of its metric."""


@dataclass(frozen=True)
class Evidence:
    """What the plans of a batch are inferred from."""

    energy: Energy
    """`-log p(z0) - log p(tau, y | z0) / prior_weight`, `[B, N, D] -> [B]` nats."""
    index: Tensor
    """`[B]` trajectory numbers in the data set, on the CPU or where the chains are."""
    returns: Tensor
    """`[B]` standardized returns."""
    begin: Tensor | None
    """`[B]` share of each trajectory before what is shown of it; None: for the proposal to choose.
    Read only where `overview` is unset, and on the CPU then, as `index` is."""
    prior_weight: float | Tensor
    """b, a scalar; with b < 1 the likelihood counts 1/b times in the posterior, which is the
    density whose evidence bound weights the prior's KL by b."""
    overview: Tensor | None = None
    """`[B, P, obs + act + 1]` what the proposal reads, on the model's device; unset: it is looked
    at now, by `index` and `begin`."""


@dataclass(frozen=True)
class PosteriorSample:
    """Plans for a batch of trajectories."""

    z0: Tensor
    """`[B, N, D]`; carries a gradient to the proposal where no step follows its draw."""
    penalty: Tensor
    """Scalar to add to the loss: the proposal's own objective, nats a trajectory."""
    diagnostics: dict[str, float | Tensor] = field(default_factory=dict)
    """Scalars for the log; tensors are left on the device."""
    scale: Tensor | None = None
    """`[B, N, D]` or `[N, D]` length scales in which chains move on from z0; None: 1."""


class PosteriorEngine(Protocol):
    """How plans are inferred while learning."""

    chains: Chains | None
    """One for each trajectory, kept across visits; None where none are kept."""
    plain_steps: bool
    """Whether it takes Langevin steps without correction, stable only if they are small."""
    same_work: bool
    """Whether the same kernels infer any batch of a shape, so that they can be recorded."""

    def look(self, index: Tensor, begin: Tensor | None) -> Tensor | None:
        """Return what `Evidence.overview` is for `Evidence.index` and `begin`, all on the CPU."""

    def infer(self, evidence: Evidence, noise: Noise) -> PosteriorSample:
        """Infer plans for a batch; `noise` is on the model's device."""

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return what learns with the model."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return all that it remembers, of all processes, which must all ask for it."""

    def load_state_dict(self, state: dict[str, Tensor]) -> object:
        """Take up a `state_dict`; raises ValueError or RuntimeError for another run's."""


@dataclass(frozen=True, kw_only=True)
class LangevinSettings:
    """One point of the Langevin engine."""

    start: Literal["chains", "proposal", "prior"]
    """Where a chain starts."""
    metric: Literal["identity", "proposal", "gradients"]
    """In which units its steps are measured."""
    corrected: bool
    """Whether steps are accepted or refused."""
    steps: int
    """Steps a visit; 0 takes the proposal's draw as it is."""
    step_size: float
    """Step size s, in the units of the metric; of corrected steps the first one."""

    def __post_init__(self) -> None:
        """Raise ValueError for settings that go nowhere, or do not go together."""
        if self.steps < (self.start != "proposal"):
            raise ValueError(
                f"posterior.steps={self.steps}: chains that start at {self.start} need at least 1"
            )
        if self.corrected and self.metric == "gradients":
            raise ValueError(
                "posterior.corrected needs a metric that does not change with the chain: set "
                "posterior.metric to identity or proposal"
            )

    @classmethod
    def of(cls, default: LangevinSettings, config: PosteriorConfig) -> LangevinSettings:
        """Return an engine's own settings, with what is configured in their place."""
        names = ("start", "metric", "corrected", "steps", "step_size")
        given = {name: getattr(config, name) for name in names}
        return cls(**{n: getattr(default, n) if v is None else v for n, v in given.items()})

    @property
    def proposes(self) -> bool:
        """Whether there is a proposal network."""
        return "proposal" in (self.start, self.metric)


@dataclass(frozen=True)
class ProposalNetwork:
    """The proposal with what it is called with."""

    network: Proposal
    """`q(z0 | tau, y)`."""
    overview: Callable[[Tensor, Tensor | None], Tensor]
    """Gives `[B, P, obs + act + 1]` steps of trajectories `[B]` for it to read, from the share
    `[B]` of each on that is given, or from where it likes; all of them on the CPU."""
    propose: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
    """Calls the network, in another precision for instance."""


@dataclass(frozen=True)
class Draw:
    """A draw of the proposal, where there is one."""

    mean: Tensor
    """`[B, N, D]`."""
    std: Tensor
    """`[B, N, D]`."""
    z0: Tensor
    """`[B, N, D]`; carries the gradient."""


class LangevinEngine:
    """A few Langevin steps for each trajectory of a batch."""

    def __init__(
        self,
        settings: LangevinSettings,
        plan_shape: tuple[int, int],
        *,
        chains: Chains | None = None,
        proposal: ProposalNetwork | None = None,
        ranks: Ranks | None = None,
        device: torch.device | None = None,
    ) -> None:
        """Take over what the settings need.

        Args:
            settings: which Langevin.
            plan_shape: `(N, D)` of a plan.
            chains: one for each trajectory of this process's shard, where they start chains, or
                hold the plans at which the parameters learn.
            proposal: the network, where one proposes starts or metric.
            ranks: the processes that share a batch; unset: this one alone.
            device: where the step size is kept, which adapts; unset: the CPU.

        Raises:
            ValueError: if one of them is missing.
        """
        self.settings, self.plan_shape, self.ranks = settings, plan_shape, ranks or Ranks()
        needs_chains = settings.start == "chains" and chains is None
        if needs_chains or settings.proposes != (proposal is not None):
            raise ValueError(f"{settings} does not go with these chains and this proposal")
        self.chains, self.proposal = chains, proposal
        self.plain_steps = settings.steps > 0 and not settings.corrected
        self.same_work = settings.metric != "gradients"  # a preconditioner counts its updates
        self._step_size = torch.tensor(settings.step_size, dtype=torch.float64, device=device)
        self.preconditioner = Preconditioner(plan_shape, mean=self.ranks.mean)

    @property
    def step_size(self) -> float:
        """Step size of the next visit, that of corrected steps as it has adapted so far."""
        return float(self._step_size)

    def look(self, index: Tensor, begin: Tensor | None) -> Tensor | None:
        """Return what the proposal reads of trajectories `[B]`, where there is one."""
        return None if self.proposal is None else self.proposal.overview(index, begin)

    def infer(self, evidence: Evidence, noise: Noise) -> PosteriorSample:
        """Infer a plan for each trajectory of a batch."""
        draw = None if self.proposal is None else self._propose(self.proposal, evidence, noise)
        told = {} if draw is None else _describe_draw(draw)
        if self.settings.steps == 0:
            assert draw is not None
            kl = gaussian_kl(draw.mean, draw.std)
            penalty = evidence.prior_weight * kl.mean()
            return PosteriorSample(draw.z0, penalty, told, draw.std.detach())
        penalty, known = torch.zeros((), device=evidence.returns.device), None
        if draw is not None:
            # The evidence bound's gradient for the proposal is the energy's gradient at its draw,
            # through z0, less the entropy's; the model's parameters learn at the chain's end.
            known = energy_and_gradient(evidence.energy, draw.z0)
            bound = (known[1] * draw.z0).flatten(1).sum(1) - draw.std.log().flatten(1).sum(1)
            penalty = evidence.prior_weight * bound.mean()
        start = self._start(evidence, draw, noise)
        known = known if self.settings.start == "proposal" else None
        chain = self._move(evidence.energy, start, draw, noise, known)
        told |= _describe(chain)
        if self.chains is not None:
            self.chains.write(evidence.index, chain.z0)
            told["chain/visits"] = self.chains.visits.float().mean()
            told["chain/unvisited"] = (self.chains.visits == 0).float().mean()
        return PosteriorSample(chain.z0, penalty, told, self._scale(draw))

    def _scale(self, draw: Draw | None) -> Tensor | None:
        """Return the metric's length scales, `[B, N, D]` or `[N, D]`; None: 1."""
        if self.settings.metric == "gradients":
            return self.preconditioner.scale().sqrt()
        return draw.std.detach() if self.settings.metric == "proposal" and draw else None

    def _propose(self, proposal: ProposalNetwork, evidence: Evidence, noise: Noise) -> Draw:
        seen = evidence.overview
        if seen is None:
            seen = proposal.overview(evidence.index, evidence.begin).to(evidence.returns.device)
        mean, std = proposal.propose(seen, evidence.returns)
        return Draw(mean, std, mean + std * noise_like(mean, noise))

    def _start(self, evidence: Evidence, draw: Draw | None, noise: Noise) -> Tensor:
        """Return where the chains start, `[B, N, D]`."""
        if self.settings.start == "chains":
            assert self.chains is not None
            return self.chains.read(evidence.index).to(evidence.returns.device)
        if self.settings.start == "proposal":
            assert draw is not None
            return draw.z0.detach()
        return noise_like(
            evidence.returns.new_zeros(len(evidence.returns), *self.plan_shape), noise
        )

    def _move(
        self,
        energy: Energy,
        start: Tensor,
        draw: Draw | None,
        noise: Noise,
        known: tuple[Tensor, Tensor] | None,
    ) -> Chain:
        """Run the steps of a visit."""
        steps, size, metric = self.settings.steps, self.settings.step_size, self.settings.metric
        if metric == "gradients":
            scale = self.preconditioner
            return preconditioned_langevin(energy, start, steps, size, noise, scale)
        std = self._scale(draw)
        if not self.settings.corrected:
            return langevin(energy, start, steps, size, noise, std)
        own = self._step_size.clone()  # the chain tells of it after it has adapted
        here = own if own.device == start.device else float(own)
        chain = metropolis_langevin(energy, start, steps, here, noise, std, known)
        accepted = self.ranks.mean(torch.as_tensor(chain.acceptance).repeat(len(start)))
        change = (0.1 * (accepted.to(own.device).to(own.dtype) - ACCEPTANCE)).exp()
        self._step_size.copy_((own * change).clamp(max=LARGEST_STEP))
        return chain

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return what the proposal learns."""
        return () if self.proposal is None else self.proposal.network.parameters()

    def state_dict(self) -> dict[str, Tensor]:
        """Return chains, proposal, preconditioner and step size, those that there are."""
        state: dict[str, Tensor] = {}
        if self.proposal is not None:
            own = self.proposal.network.state_dict()
            state |= {f"proposal.{name}": value for name, value in own.items()}
        if self.chains is not None:
            own = self.chains.gathered(self.ranks)
            state |= {f"chains.{name}": value for name, value in own.items()}
        if self.settings.metric == "gradients":
            state["preconditioner.mean_square"] = self.preconditioner.mean_square
            state["preconditioner.updates"] = torch.tensor(self.preconditioner.updates)
        if self.settings.corrected:
            state["step_size"] = self._step_size.clone()
        return state

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take up a state; of chains this shard's part.

        Raises:
            ValueError: if the chains are of other trajectories or another plan shape.
            RuntimeError: if the proposal is another one.
            KeyError: if something is missing.
        """
        if self.proposal is not None:
            self.proposal.network.load_state_dict(_under("proposal", state))
        if self.chains is not None:
            self.chains.load_state_dict(_under("chains", state))
        if self.settings.metric == "gradients":
            self.preconditioner.mean_square = state["preconditioner.mean_square"]
            self.preconditioner.updates = int(state["preconditioner.updates"])
        if self.settings.corrected:
            self._step_size.copy_(state["step_size"])


class Variational:
    """A Gaussian for each trajectory, fitted anew by Adam from the prior at each visit."""

    chains: Chains | None = None
    plain_steps, same_work = False, False

    def __init__(self, config: PosteriorConfig, plan_shape: tuple[int, int]) -> None:
        """Fit plans of `(N, D)`, by 8 steps of size 0.3 where nothing else is configured.

        Raises:
            ValueError: if `config.steps` is below 1.
        """
        self.steps = 8 if config.steps is None else config.steps
        self.step_size = 0.3 if config.step_size is None else config.step_size
        if self.steps < 1:
            raise ValueError(f"posterior.steps={self.steps}: engine variational needs at least 1")
        self.plan_shape = plan_shape

    def look(self, index: Tensor, begin: Tensor | None) -> None:
        """Read nothing: nothing is proposed."""

    def infer(self, evidence: Evidence, noise: Noise) -> PosteriorSample:
        """Fit, and draw one plan each."""
        returns = evidence.returns
        start = returns.new_zeros(len(returns), *self.plan_shape)
        steps, size = self.steps, self.step_size
        fit = fit_gaussian(evidence.energy, start, start + 1.0, steps, size, noise)
        z0 = fit.mean + fit.std * noise_like(fit.mean, noise)
        told = _describe_draw(Draw(fit.mean, fit.std, z0))
        return PosteriorSample(z0, torch.zeros((), device=z0.device), told, fit.std)

    def parameters(self) -> Iterable[nn.Parameter]:
        """Return nothing: nothing learns here."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """Return nothing: nothing is remembered."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Nothing is remembered."""


def _under(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {k.removeprefix(start): v for k, v in state.items() if k.startswith(start)}


def _norms(z0: Tensor) -> dict[str, float | Tensor]:
    # A chain that knows nothing has E|z0|^2 / (N D) = 1, the prior's.
    return {"chain/mean_square": z0.square().mean()}


def _describe_draw(draw: Draw) -> dict[str, float | Tensor]:
    kl = gaussian_kl(draw.mean.detach(), draw.std.detach()).mean()
    return {"chain/kl": kl, **_norms(draw.z0.detach())}


def _describe(chain: Chain) -> dict[str, float | Tensor]:
    start, end = chain.energies[0].mean(), chain.energies[-1].mean()
    noise = chain.step_size * chain.z0.shape[1:].numel() ** 0.5
    return {
        **_norms(chain.z0),
        "chain/energy_drop": start - end,
        "chain/gradient_norm": chain.gradient_norm,
        "chain/noise_norm": noise,
        "chain/acceptance": chain.acceptance,
        "chain/step_size": chain.step_size,
    }
