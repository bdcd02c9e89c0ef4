"""A policy's networks as functions of tensors alone, as exporters want them.

What a running episode remembers is a dictionary of tensors here, the *state*: `Begin` makes it of
a plan, and `Step` takes it and gives what has changed, each entry under its name after `next_`.

Shape legend: `B` episodes side by side, `N` plan tokens, `D` width, `L` layers, `H` heads,
`d = D / H`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lpt.algorithms.prompted import Prompted
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.evaluation.policy import LPTPolicy
from lpt.model import (
    Categorical,
    ConditionedTransformer,
    LatentPlanTransformer,
    PromptedTransformer,
    RolloutCache,
)
from lpt.model.attention import PlanMemory, StepCache


@dataclass(frozen=True, eq=False)
class Network:
    """One function to export."""

    name: str
    """Of its files."""
    module: nn.Module
    """The function, of `inputs` in their order."""
    inputs: dict[str, Tensor]
    """Examples of two episodes, `[2, ...]` each, by name."""
    outputs: tuple[str, ...]
    """Names of what it returns."""


class Layout:
    """Which tensors a policy's state has; those that its model never reads are left out."""

    def __init__(self, model: PromptedTransformer) -> None:
        generator = model.generator
        windows = [block.self_attention.window for block in generator.layers]
        self.cached = [layer for layer, window in enumerate(windows) if window > 1]
        self.acts = generator.previous_action is not None
        self.ages = self.acts or bool(self.cached)
        changing = ["previous_action"] * self.acts + ["age"] * self.ages
        changing += [f"{kind}_{layer}" for layer in self.cached for kind in ("keys", "values")]
        self.changing = tuple(changing)
        """Names of what every step changes."""
        self.names = ("plan_keys", "plan_values", *changing)
        """All names: `plan_*` are `[B, L, H, N, d]`, `keys_i` and `values_i` `[B, H, window, d]`,
        `previous_action` is `[B, act]`, `age` `[B]` integers."""

    def pack(self, cache: RolloutCache, previous: Tensor) -> dict[str, Tensor]:
        """Return the state that a policy's cache and previous action `[B, act]` are."""
        state = {
            "plan_keys": torch.stack([plan.keys for plan in cache.plans], 1),
            "plan_values": torch.stack([plan.values for plan in cache.plans], 1),
            "previous_action": previous,
            "age": cache.age,
        }
        for layer in self.cached:
            state[f"keys_{layer}"] = cache.steps[layer].keys
            state[f"values_{layer}"] = cache.steps[layer].values
        return {name: state[name] for name in self.names}

    def unpack(self, state: dict[str, Tensor]) -> RolloutCache:
        """Return the policy's cache that a state is."""
        keys, values = state["plan_keys"], state["plan_values"]
        plans = [PlanMemory(*both) for both in zip(keys.unbind(1), values.unbind(1), strict=True)]
        unread = keys.new_zeros(0)  # a layer that sees one step looks at no cache
        steps = [
            StepCache(state.get(f"keys_{i}", unread), state.get(f"values_{i}", unread))
            for i in range(len(plans))
        ]
        age = state["age"] if self.ages else torch.zeros_like(keys[:, 0, 0, 0, 0]).long()
        return RolloutCache(plans, steps, age)


class Begin(nn.Module):
    """The state of new episodes that follow plans `[B, N, D]`."""

    def __init__(self, policy: LPTPolicy) -> None:
        super().__init__()
        self.model, self.layout = policy.model, Layout(policy.model)

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        """Return the state's entries in the order of `Layout.names`."""
        previous = torch.zeros_like(z[:, 0, :1]).repeat(1, self.model.spaces.action_dim)
        return tuple(self.layout.pack(self.model.begin(z), previous).values())


class Step(nn.Module):
    """One step: raw observations to actions in the environment's units, and the state after it."""

    mean: Tensor
    std: Tensor
    low: Tensor | None
    high: Tensor | None

    def __init__(self, policy: LPTPolicy) -> None:
        super().__init__()
        self.model, self.layout = policy.model, Layout(policy.model)
        self.discrete = policy.spaces.discrete
        self.register_buffer("mean", torch.tensor(policy.metadata.observation_mean).float())
        self.register_buffer("std", torch.tensor(policy.metadata.observation_std).float())
        bounds = None if self.discrete else policy.action_bounds
        low, high = (None, None) if bounds is None else (bounds.low, bounds.high)
        self.register_buffer("low", None if low is None else torch.from_numpy(low))
        self.register_buffer("high", None if high is None else torch.from_numpy(high))

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of what `forward` returns."""
        logits = ("logits",) * self.discrete
        return ("action", *logits, *(f"next_{name}" for name in self.layout.changing))

    def forward(self, observation: Tensor, *entries: Tensor) -> tuple[Tensor, ...]:
        """Act on observations `[B, obs]`, raw units, in a state in the order of `Layout.names`."""
        state = dict(zip(self.layout.names, entries, strict=True))
        cache = self.layout.unpack(state)
        unknown = torch.zeros_like(observation[:, :1]).repeat(1, self.model.spaces.action_dim)
        previous = state.get("previous_action", unknown)
        actions = self.model.step(cache, (observation - self.mean) / self.std, previous)
        action = actions.mode()
        logits = (actions.logits,) if isinstance(actions, Categorical) else ()
        done = F.one_hot(action, self.model.spaces.action_dim).float() if self.discrete else action
        after = self.layout.pack(cache, done)
        if self.low is not None and self.high is not None:
            middle, half = (self.high + self.low) / 2, (self.high - self.low) / 2
            action = (middle + action * half).clamp(self.low, self.high)
        return (action, *logits, *(after[name] for name in self.layout.changing))


class Prior(nn.Module):
    """`z = U_alpha(z0)`: prior noise `[B, N, D]` to plans `[B, N, D]`."""

    def __init__(self, model: LatentPlanTransformer) -> None:
        super().__init__()
        self.model = model

    def forward(self, z0: Tensor) -> Tensor:
        """Return the plans."""
        return self.model.plan_from_noise(z0)


class Predictor(nn.Module):
    """`r_gamma(z)`: plans `[B, N, D]` to the returns that they predict, raw units, `[B]`."""

    def __init__(self, model: LatentPlanTransformer, metadata: PolicyMetadata) -> None:
        super().__init__()
        self.model = model
        self.mean, self.std = metadata.return_mean, metadata.return_std

    def forward(self, z: Tensor) -> Tensor:
        """Return the returns."""
        return self.model.predicted_return(z) * self.std + self.mean


class Prompt(nn.Module):
    """A baseline's prompt: returns asked for, raw units, `[B]` to plans `[B, N, D]`."""

    def __init__(
        self, model: ConditionedTransformer, algorithm: Prompted, metadata: PolicyMetadata
    ) -> None:
        super().__init__()
        self.model, self.condition = model, algorithm.condition
        self.mean, self.std = metadata.return_mean, metadata.return_std

    def forward(self, target: Tensor) -> Tensor:
        """Return the prompts."""
        standardized = (target - self.mean) / self.std
        return self.model.prompt(self.condition(self.model, standardized))


def networks(policy: LPTPolicy) -> list[Network]:
    """Return all functions of a policy: begin, step, and prior and return, or prompt."""
    z = policy.plan(n=2).z.detach()
    begin, step = Begin(policy).eval(), Step(policy).eval()
    state = dict(zip(begin.layout.names, begin(z), strict=True))
    observation = torch.zeros(2, policy.spaces.observation_dim)
    found = [
        Network("begin", begin, {"z": z}, begin.layout.names),
        Network("step", step, {"observation": observation, **state}, step.outputs),
    ]
    model, metadata = policy.model, policy.metadata
    if isinstance(model, ConditionedTransformer):
        assert isinstance(policy.algorithm, Prompted)
        prompt = Prompt(model, policy.algorithm, metadata).eval()
        return [*found, Network("prompt", prompt, {"target": torch.zeros(2)}, ("z",))]
    prior, predictor = Prior(model).eval(), Predictor(model, metadata).eval()
    return [
        *found,
        Network("prior", prior, {"z0": z}, ("z",)),
        Network("return", predictor, {"z": z}, ("return",)),
    ]
