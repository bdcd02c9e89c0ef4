"""The trajectory generator `p_beta(a_t | s_{t-K+1:t}, a_{t-K:t-1}, z)` and its rollout cache.

With `model.inputs=states` it is `p_beta(a_t | s_{t-K+1:t}, z)`: a special case.

Shape legend: `B` batch of trajectories, `M` segments of each, `T` time, `K` context length in
environment steps, `N` plan tokens, `D` width, `H` heads, `d = D / H`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from lpt.config import ModelConfig
from lpt.model.actions import ActionDistribution, action_distribution
from lpt.model.attention import (
    BandedSelfAttention,
    PlanAttention,
    PlanMemory,
    StepCache,
    layer_windows,
)
from lpt.model.spaces import Spaces


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

    def forward(self, x: Tensor, plan: PlanMemory) -> Tensor:
        """Segments `[B, M, T, D]` of trajectories that follow plans of `B` rows; the same shape."""
        attended = self.self_attention(self.norm_self(x).flatten(0, 1)).view(x.shape)
        return self._follow(x + self.dropout(attended), plan)

    def step(self, x: Tensor, plan: PlanMemory, cache: StepCache, age: Tensor) -> Tensor:
        """One more step `[B, 1, 1, D]` of episodes that are `age` `[B]` steps old."""
        attended = self.self_attention.step(self.norm_self(x).flatten(0, 1), cache, age)
        return self._follow(x + attended.view(x.shape), plan)

    def _follow(self, x: Tensor, plan: PlanMemory) -> Tensor:
        """Attention to the plan, which a trajectory's segments share, and the MLP."""
        query = self.norm_plan(x).flatten(1, 2)  # [B, M*T, D]
        x = x + self.dropout(self.plan_attention(query, plan).view(x.shape))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


@dataclass
class RolloutCache:
    """What a batch of running episodes remembers: plan keys, recent steps, and each one's age."""

    plans: list[PlanMemory]
    """Per layer, keys and values of the plan."""
    steps: list[StepCache]
    """Per layer, the last `window` keys and values."""
    age: Tensor
    """`[B]` steps taken since the episode began."""

    def reset(self, rows: Tensor) -> None:
        """Begin new episodes, with the same plans, in the rows where `rows` `[B]` is true."""
        self.age[rows] = 0


class StateEmbedding(nn.Linear):
    """A linear layer of a standardized state and, if asked for, its sines and cosines.

    A network of the state alone is slow to learn actions that turn around within a tenth of the
    states' extent, as they do at a wall or at a goal (Tancik et al., 2020).
    """

    turns: Tensor
    dims: Tensor

    def __init__(self, config: ModelConfig, observation_dim: int) -> None:
        """Build the layer.

        Raises:
            ValueError: for `frequency_dims` that the observations do not have.
        """
        dims = config.frequency_dims or tuple(range(observation_dim))
        if max(dims) >= observation_dim:
            raise ValueError(
                f"model.frequency_dims={list(dims)}: observations have {observation_dim} "
                f"coordinates, 0 to {observation_dim - 1}"
            )
        self.frequencies = config.frequencies
        super().__init__(observation_dim + 2 * len(dims) * self.frequencies, config.width)
        # Wavelengths 4, 2, 1, ...; what the configuration says is not stored with the weights.
        # As a list: arithmetic would load PyTorch's compiler where shapes alone are asked for.
        turns = [math.tau / 4.0 * 2.0**octave for octave in range(self.frequencies)]
        self.register_buffer("turns", torch.tensor(turns), persistent=False)
        self.register_buffer("dims", torch.tensor(dims), persistent=False)

    def forward(self, observations: Tensor) -> Tensor:
        """`[..., obs]` standardized states to `[..., D]`."""
        if self.frequencies:
            angle = observations.index_select(-1, self.dims)[..., None] * self.turns
            angle = angle.flatten(-2)
            observations = torch.cat((observations, angle.sin(), angle.cos()), -1)
        return super().forward(observations)


class TrajectoryGenerator(nn.Module):
    """`p_beta(a_t | s_{t-K+1:t}, a_{t-K:t-1}, z)`: a token a step, of (s_t, a_{t-1}) or of s_t.

    Token `t`'s output predicts `a_t`; the token holds no information on `a_t` itself, and the same
    tokens are seen in learning, in the chains and at rollout.
    """

    def __init__(self, config: ModelConfig, spaces: Spaces) -> None:
        super().__init__()
        self.state = StateEmbedding(config, spaces.observation_dim)
        sees_actions = config.inputs == "states-and-actions"
        self.previous_action = (
            nn.Linear(spaces.action_dim, config.width, bias=False) if sees_actions else None
        )
        self.norm_tokens = nn.LayerNorm(config.width)
        self.norm_plan = nn.LayerNorm(config.width)
        windows = layer_windows(config.context, config.layers)
        self.blocks = nn.ModuleList(Block(config, window) for window in windows)
        self.norm_out = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, spaces.action_dim)

    @property
    def layers(self) -> list[Block]:
        """The blocks, first to last."""
        return cast(list[Block], list(self.blocks))

    def embed(self, observations: Tensor, previous_actions: Tensor) -> Tensor:
        """Tokens `[..., D]` of standardized states `[..., obs]` and actions `[..., act]`."""
        tokens = self.state(observations)
        if self.previous_action is not None:
            tokens = tokens + self.previous_action(previous_actions)
        return self.norm_tokens(tokens)

    def plan_memory(self, z: Tensor) -> list[PlanMemory]:
        """Per layer, keys and values of plans `[B, N, D]`."""
        z = self.norm_plan(z)
        return [block.plan_attention.project(z) for block in self.layers]

    def forward(self, z: Tensor, observations: Tensor, previous_actions: Tensor) -> Tensor:
        """Head outputs `[B, M, T, act]` for plans `[B, N, D]` and steps `[B, M, T, ...]`."""
        x = self.embed(observations, previous_actions)
        for block, plan in zip(self.layers, self.plan_memory(z), strict=True):
            x = block(x, plan)
        return self.head(self.norm_out(x))

    def begin(self, z: Tensor) -> RolloutCache:
        """Start one episode for each plan `[B, N, D]`."""
        batch = z.shape[0]  # len(z) would fix it in an exported graph
        caches = [block.self_attention.cache(batch) for block in self.layers]
        return RolloutCache(self.plan_memory(z), caches, torch.zeros_like(z[:, 0, 0]).long())

    def step(self, cache: RolloutCache, observation: Tensor, previous_action: Tensor) -> Tensor:
        """Head outputs `[B, act]` of one more step `[B, obs]`, `[B, act]` of each episode."""
        # An episode's first token never carries an action, whatever the caller remembered.
        previous_action = previous_action * (cache.age > 0)[:, None]
        x = self.embed(observation, previous_action)[:, None, None]
        for block, plan, steps in zip(self.layers, cache.plans, cache.steps, strict=True):
            x = block.step(x, plan, steps, cache.age)
        cache.age = cache.age + 1
        return self.head(self.norm_out(x))[:, 0, 0]


class PromptedTransformer(nn.Module):
    """A trajectory generator and its prompt's shape: all that acting needs of a model."""

    def __init__(self, config: ModelConfig, spaces: Spaces) -> None:
        """Build the generator.

        Raises:
            ValueError: if the likelihood does not fit the action space, or `frequency_dims` the
                observations.
        """
        super().__init__()
        config = config.fitted(spaces.discrete)
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
        """`(N, D)` of the prompt (for a latent plan, of the prior noise too)."""
        return self.config.plan_tokens, self.config.width

    def actions(self, z: Tensor, observations: Tensor, previous: Tensor) -> ActionDistribution:
        """Return action distributions at every step of segments `[B, M, T, ...]`."""
        # In the plan's own precision, whatever the generator's products were computed in.
        return self._distribution(self.generator(z, observations, previous).to(z.dtype))

    def log_actions(
        self, z: Tensor, observations: Tensor, previous: Tensor, actions: Tensor, weight: Tensor
    ) -> Tensor:
        """`sum_t log p_beta(a_t | ..., z)`, or its unbiased estimate from segments, `[B]` nats.

        Args:
            z: `[B, N, D]` plans.
            observations: `[B, M, T, obs]` standardized states.
            previous: `[B, M, T, act]` previous actions (zero at a trajectory's first step; not
                read if `model.inputs` is `states`).
            actions: `[B, M, T, act]` or `[B, M, T]` actions taken.
            weight: `[B, M, T]` inverse of the expected times each step is scored; 0 on padding.
        """
        log_prob = self.actions(z, observations, previous).log_prob(actions)
        return (log_prob * weight).flatten(1).sum(-1)

    def begin(self, z: Tensor) -> RolloutCache:
        """Start one episode for each plan `[B, N, D]`; see `step`."""
        return self.generator.begin(z)

    def step(
        self, cache: RolloutCache, observation: Tensor, previous_action: Tensor
    ) -> ActionDistribution:
        """Return action distributions of the next step of every episode; updates the cache.

        Args:
            cache: from `begin`.
            observation: `[B, obs]` standardized states.
            previous_action: `[B, act]` what was done in the step before (ignored at age 0).
        """
        return self._distribution(self.generator.step(cache, observation, previous_action))

    def _distribution(self, head: Tensor) -> ActionDistribution:
        return action_distribution(head, self.config.likelihood, self.config.action_std)
