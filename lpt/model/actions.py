"""Action likelihoods: the only place where continuous and discrete actions differ.

Three families, each with a fixed, stated unit of noise so that log-likelihoods are in nats:

* `gaussian`: `a ~ Normal(mean, sigma_a^2)`, mean in [-1, 1] by tanh (the paper's).
* `censored`: `a = clip(Normal(mean, sigma_a^2), -1, 1)` (Tobit). Data collected with clipped
  exploration noise put probability mass on the bounds: the censored likelihood explains that mass
  as saturation, so the mean is the noise-free action.
* `categorical`: softmax over `n` actions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

BOUND = 1.0 - 1e-6
"""Actions at least this large are read as sitting on the bound."""


class ActionDistribution(Protocol):
    """What a policy needs of an action likelihood, whatever the action space."""

    def log_prob(self, actions: Tensor) -> Tensor:
        """`[..., act_dim]` or `[...]` actions -> `[...]` nats."""

    def mode(self) -> Tensor:
        """Return the most probable action (the mean for the Gaussian families)."""

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """One random action for each batch element."""


@dataclass(frozen=True)
class Gaussian:
    """Diagonal Gaussian with fixed scale; `mean` is `[..., act_dim]`."""

    mean: Tensor
    sigma: float

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log density summed over action dimensions, `[...]` nats."""
        return _log_normal(actions, self.mean, self.sigma).sum(-1)

    def mode(self) -> Tensor:
        """Return the mean, `[..., act_dim]`."""
        return self.mean

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a draw clipped to the action bounds, `[..., act_dim]`."""
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return (self.mean + self.sigma * noise).clamp(-1.0, 1.0)


@dataclass(frozen=True)
class Censored(Gaussian):
    """Gaussian clipped to [-1, 1]: a density inside, a probability on each bound."""

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log likelihood summed over action dimensions, `[...]` nats."""
        inside = _log_normal(actions, self.mean, self.sigma)
        upper = torch.special.log_ndtr((self.mean - 1.0) / self.sigma)
        lower = torch.special.log_ndtr((-1.0 - self.mean) / self.sigma)
        at_bound = torch.where(actions > 0, upper, lower)
        return torch.where(actions.abs() >= BOUND, at_bound, inside).sum(-1)


@dataclass(frozen=True)
class Categorical:
    """Softmax over `n` actions; `logits` is `[..., n]`."""

    logits: Tensor

    def log_prob(self, actions: Tensor) -> Tensor:
        """Log probability of integer actions `[...]`, in nats."""
        log_probs = self.logits.log_softmax(-1)
        return log_probs.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)

    def mode(self) -> Tensor:
        """Return the most probable action, `[...]` integers."""
        return self.logits.argmax(-1)

    def sample(self, generator: torch.Generator | None = None) -> Tensor:
        """Return a draw from the softmax, `[...]` integers."""
        probs = self.logits.softmax(-1)
        flat = torch.multinomial(probs.reshape(-1, probs.shape[-1]), 1, generator=generator)
        return flat.reshape(probs.shape[:-1])


def _log_normal(x: Tensor, mean: Tensor, sigma: float) -> Tensor:
    return -0.5 * ((x - mean) / sigma) ** 2 - math.log(sigma) - 0.5 * math.log(2 * math.pi)


def action_distribution(head: Tensor, likelihood: str, sigma: float) -> ActionDistribution:
    """Return the distribution that a network output parametrizes.

    Args:
        head: `[..., act_dim]` (continuous, before tanh) or `[..., n]` logits.
        likelihood: `gaussian`, `censored` or `categorical`.
        sigma: `sigma_a` in action units; unused by `categorical`.

    Raises:
        ValueError: for an unknown likelihood.
    """
    if likelihood == "categorical":
        return Categorical(head)
    if likelihood == "gaussian":
        return Gaussian(head.tanh(), sigma)
    if likelihood == "censored":
        return Censored(head.tanh(), sigma)
    raise ValueError(
        f"unknown action likelihood {likelihood!r}: use 'gaussian', 'censored' or 'categorical'"
    )
