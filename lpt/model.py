"""The Latent Plan Transformer, equation by equation (Kong et al., 2024, section 3).

    z0 ~ Normal(0, I)                                        prior noise         [B, N, D]
    z  = U_alpha(z0)                                         latent plan         [B, N, D]
    a_t ~ p_beta(a_t | s_{t-K+1:t}, a_{t-K:t-1}, z)          trajectory generator
    y  ~ Normal(r_gamma(z), sigma_y^2)                       return predictor

    log p(tau, y, z0) = log p(z0) + sum_t log p_beta(a_t | ..., z) + log p_gamma(y | z)

Everything is in nats; the chain's energy and the training loss are this one log joint. Given ``z``,
trajectory and return are independent, and no reward ever enters the generator.

Shape legend: ``B`` batch of trajectories, ``M`` segments of each, ``T`` time, ``K`` context length
in environment steps, ``N`` plan tokens, ``D`` width.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lpt.actions import ActionDistribution, action_distribution
from lpt.attention import BandedSelfAttention, PlanAttention, StepCache, layer_windows
from lpt.unet import UNetPrior


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Sizes and likelihoods of the model."""

    layers: int = 2
    """Transformer blocks."""
    heads: int = 4
    """Attention heads of every block."""
    width: int = 64
    """Model width D, also of each plan token."""
    context: int = 16
    """K: environment steps that may influence an action, through all layers together."""
    plan_tokens: int = 4
    """N: tokens of the latent plan."""
    dropout: float = 0.0
    """Dropout in the blocks while learning; never in chains, planning or rollouts."""
    likelihood: Literal["gaussian", "censored", "categorical"] = "gaussian"
    """Action likelihood; 'censored' is a Gaussian clipped to the action bounds."""
    action_std: float = 0.5
    """sigma_a in action units (continuous actions)."""
    return_std: float = 1.0
    """sigma_y in units of the returns' standard deviation: the dial between luck and skill."""
    return_hidden: int = 100
    """Hidden units in each of the return predictor's two layers."""
    prior_width: int = 16
    """Channels of the U-Net's first level; 0 takes z = z0 (the paper's ablation)."""
    prior_multipliers: tuple[int, ...] = (1, 2, 4, 8)
    """Channel multipliers of the U-Net's levels."""
    remembered_plans: int = 0
    """Newest plans inferred in learning that the model keeps, for planning.method=aggregated."""

    def __post_init__(self) -> None:
        """Raise ValueError for sizes that cannot be built."""
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ValueError(
                f"model.width={self.width} must be an even multiple of model.heads={self.heads}: "
                "rotary positions turn pairs of each head's channels"
            )
        sizes = ("layers", "context", "plan_tokens", "return_hidden")
        for name in (*sizes, "action_std", "return_std"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"model.{name}={getattr(self, name)} must be positive, finite")
        if self.remembered_plans < 0:
            raise ValueError(f"model.remembered_plans={self.remembered_plans} must be 0 or more")


@dataclass(frozen=True, kw_only=True)
class Spaces:
    """Sizes of the environment's spaces as the model sees them."""

    observation_dim: int
    """Length of the flat observation vector."""
    action_dim: int
    """Length of the action vector, or the number of discrete actions."""
    discrete: bool
    """Whether actions are integers."""


class Block(nn.Module):
    """Pre-norm Transformer block: self-attention, cross-attention to the plan, MLP."""

    def __init__(self, config: ModelConfig, window: int) -> None:
        super().__init__()
        width = config.width
        self.norm_self, self.norm_plan, self.norm_mlp = (nn.LayerNorm(width) for _ in range(3))
        self.self_attention = BandedSelfAttention(width, config.heads, window)
        self.plan_attention = PlanAttention(width, config.heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, plan: tuple[Tensor, Tensor], memory: tuple[StepCache, Tensor] | None = None
    ) -> Tensor:
        """One block over ``[B*M, T, D]``; with a ``memory`` (cache, age) over a step ``[B, 1, D]``.

        ``plan`` holds keys and values ``[B, H, N, d]``, shared by a trajectory's ``M`` segments.
        """
        normed = self.norm_self(x)
        if memory is None:
            x = x + self.dropout(self.self_attention(normed))
        else:
            x = x + self.self_attention.step(normed, *memory)
        rows = plan[0].shape[0]
        time = x.shape[0] * x.shape[1] // max(rows, 1)  # a process's part may have no row
        query = self.norm_plan(x).view(rows, time, x.shape[-1])  # [B, M*T, D]
        x = x + self.dropout(self.plan_attention(query, *plan).view(x.shape))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


@dataclass
class RolloutCache:
    """What a batch of running episodes remembers: plan keys, recent steps, and each one's age."""

    plans: list[tuple[Tensor, Tensor]]
    """Per layer, keys and values of the plan ``[B, H, N, d]``."""
    steps: list[StepCache]
    """Per layer, the last ``window`` keys and values."""
    age: Tensor
    """``[B]`` steps taken since the episode began."""

    def reset(self, rows: Tensor) -> None:
        """Begin new episodes, with the same plans, in the rows where ``rows`` ``[B]`` is true."""
        self.age[rows] = 0


class TrajectoryGenerator(nn.Module):
    """``p_beta(a_t | s_{t-K+1:t}, a_{t-K:t-1}, z)``: one token a step, of (s_t, a_{t-1}).

    Token ``t``'s output predicts ``a_t``; the token holds no information on ``a_t`` itself, and
    the same tokens are seen in learning, in the chains and at rollout.
    """

    def __init__(self, config: ModelConfig, spaces: Spaces) -> None:
        super().__init__()
        self.state = nn.Linear(spaces.observation_dim, config.width)
        self.previous_action = nn.Linear(spaces.action_dim, config.width, bias=False)
        self.norm_tokens = nn.LayerNorm(config.width)
        self.norm_plan = nn.LayerNorm(config.width)
        windows = layer_windows(config.context, config.layers)
        self.blocks = nn.ModuleList(Block(config, window) for window in windows)
        self.norm_out = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, spaces.action_dim)

    def embed(self, observations: Tensor, previous_actions: Tensor) -> Tensor:
        """Tokens ``[..., D]`` of standardised states ``[..., obs]`` and actions ``[..., act]``."""
        return self.norm_tokens(self.state(observations) + self.previous_action(previous_actions))

    def plan_memory(self, z: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Per layer, keys and values of plans ``[B, N, D]``."""
        z = self.norm_plan(z)
        return [block.plan_attention.project(z) for block in self.blocks]  # type: ignore[union-attr, operator]

    def forward(self, z: Tensor, observations: Tensor, previous_actions: Tensor) -> Tensor:
        """Head outputs ``[B, M, T, act]`` for plans ``[B, N, D]`` and steps ``[B, M, T, ...]``."""
        batch, segments = observations.shape[:2]
        x = self.embed(observations, previous_actions).flatten(0, 1)
        for block, plan in zip(self.blocks, self.plan_memory(z), strict=True):
            x = block(x, plan)
        return self.head(self.norm_out(x)).unflatten(0, (batch, segments))

    def begin(self, z: Tensor) -> RolloutCache:
        """Start one episode for each plan ``[B, N, D]``."""
        batch = z.shape[0]
        caches = [block.self_attention.cache(batch) for block in self.blocks]  # type: ignore[union-attr, operator]
        return RolloutCache(self.plan_memory(z), caches, torch.zeros_like(z[:, 0, 0]).long())

    def step(self, cache: RolloutCache, observation: Tensor, previous_action: Tensor) -> Tensor:
        """Head outputs ``[B, act]`` of one more step ``[B, obs]``, ``[B, act]`` of each episode."""
        # An episode's first token never carries an action, whatever the caller remembered.
        previous_action = previous_action * (cache.age > 0)[:, None]
        x = self.embed(observation, previous_action)[:, None]
        for block, plan, steps in zip(self.blocks, cache.plans, cache.steps, strict=True):
            x = block(x, plan, (steps, cache.age))
        cache.age = cache.age + 1
        return self.head(self.norm_out(x))[:, 0]


class PromptedTransformer(nn.Module):
    """A trajectory generator and its prompt's shape: all that acting needs of a model."""

    def __init__(self, config: ModelConfig, spaces: Spaces) -> None:
        """Build the generator.

        Raises:
            ValueError: if the likelihood does not fit the action space.
        """
        super().__init__()
        if spaces.discrete != (config.likelihood == "categorical"):
            kind = "discrete" if spaces.discrete else "continuous"
            raise ValueError(
                f"model.likelihood={config.likelihood!r} does not fit {kind} actions: use "
                f"{'categorical' if spaces.discrete else 'gaussian or censored'}"
            )
        self.config, self.spaces = config, spaces
        self.generator = TrajectoryGenerator(config, spaces)

    @property
    def plan_shape(self) -> tuple[int, int]:
        """``(N, D)`` of the prompt (for a latent plan, of the prior noise too)."""
        return self.config.plan_tokens, self.config.width

    def actions(self, z: Tensor, observations: Tensor, previous: Tensor) -> ActionDistribution:
        """Action distributions at every step of segments ``[B, M, T, ...]``."""
        # In the plan's own precision, whatever the generator's products were computed in.
        return self._distribution(self.generator(z, observations, previous).to(z.dtype))

    def log_actions(
        self, z: Tensor, observations: Tensor, previous: Tensor, actions: Tensor, weight: Tensor
    ) -> Tensor:
        """``sum_t log p_beta(a_t | ..., z)``, or its unbiased estimate from segments, ``[B]`` nats.

        Args:
            z: ``[B, N, D]`` plans.
            observations: ``[B, M, T, obs]`` standardised states.
            previous: ``[B, M, T, act]`` previous actions (zero at a trajectory's first step).
            actions: ``[B, M, T, act]`` or ``[B, M, T]`` actions taken.
            weight: ``[B, M, T]`` inverse of the expected times each step is scored; 0 on padding.
        """
        log_prob = self.actions(z, observations, previous).log_prob(actions)
        return (log_prob * weight).flatten(1).sum(-1)

    def begin(self, z: Tensor) -> RolloutCache:
        """Start one episode for each plan ``[B, N, D]``; see :meth:`step`."""
        return self.generator.begin(z)

    def step(
        self, cache: RolloutCache, observation: Tensor, previous_action: Tensor
    ) -> ActionDistribution:
        """Action distributions of the next step of every episode; updates the cache.

        Args:
            cache: from :meth:`begin`.
            observation: ``[B, obs]`` standardised states.
            previous_action: ``[B, act]`` what was done in the step before (ignored at age 0).
        """
        return self._distribution(self.generator.step(cache, observation, previous_action))

    def _distribution(self, head: Tensor) -> ActionDistribution:
        return action_distribution(head, self.config.likelihood, self.config.action_std)


class LatentPlanTransformer(PromptedTransformer):
    """The whole model: prior, generator and return predictor, and their log joint."""

    remembered: Tensor
    remembered_count: Tensor

    def __init__(self, config: ModelConfig, spaces: Spaces) -> None:
        """Build the model.

        Raises:
            ValueError: if the likelihood does not fit the action space.
        """
        super().__init__(config, spaces)
        self.prior = UNetPrior(config.prior_width, config.prior_multipliers)
        hidden, size = config.return_hidden, config.plan_tokens * config.width
        self.return_predictor = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(size, hidden), nn.SiLU()),
            *(nn.Linear(hidden, hidden), nn.SiLU()),
            nn.Linear(hidden, 1),
            nn.Flatten(0),
        )

        # Buffers: they follow the weights into averages, checkpoints and policies.
        if config.remembered_plans:
            plans = torch.zeros(config.remembered_plans, *self.plan_shape)
            self.register_buffer("remembered", plans)
            self.register_buffer("remembered_count", torch.zeros((), dtype=torch.long))

    def remember(self, z0: Tensor) -> None:
        """Keep plans ``[B, N, D]`` inferred in learning, in the place of the oldest."""
        size = self.config.remembered_plans
        if size:
            place = self.remembered_count + torch.arange(len(z0[-size:]), device=z0.device)
            self.remembered[place % size] = z0[-size:].detach()
            self.remembered_count += len(place)

    def aggregated_plans(self) -> Tensor:
        """Prior noise ``[S, N, D]`` of remembered plans: draws from the aggregated posterior.

        That is ``q(z0) = mean_i p(z0 | tau_i, y_i)``, trajectories weighted as they are drawn.

        Raises:
            ValueError: if there is none.
        """
        size = self.config.remembered_plans
        count = min(size, int(self.remembered_count)) if size else 0
        if count == 0:
            raise ValueError(
                "planning.method=aggregated chooses among plans inferred in learning, and this "
                "model has none: train with --model.remembered-plans 1024, or plan by another "
                "method"
            )
        return self.remembered[:count]

    def plan_from_noise(self, z0: Tensor) -> Tensor:
        """``z = U_alpha(z0)``, ``[B, N, D] -> [B, N, D]``."""
        return self.prior(z0)

    def predicted_return(self, z: Tensor) -> Tensor:
        """``r_gamma(z)``: ``[B, N, D] -> [B]``, in standard deviations of the data's returns."""
        return self.return_predictor(z)

    def log_prior(self, z0: Tensor) -> Tensor:
        """``log p(z0)`` of a standard normal without its constant, ``[B]`` nats."""
        return -0.5 * z0.square().flatten(1).sum(-1)

    def log_return(self, z: Tensor, returns: Tensor) -> Tensor:
        """``log p_gamma(y | z)`` of standardised returns ``[B]``, ``[B]`` nats."""
        sigma = self.config.return_std
        error = (returns - self.predicted_return(z)) / sigma
        return -0.5 * error.square() - math.log(sigma) - 0.5 * math.log(2 * math.pi)
