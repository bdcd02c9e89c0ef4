"""Small random policies, an environment for them, and evaluations of them."""

import dataclasses
from typing import Any

import gymnasium
import numpy as np
import torch

from lpt.checkpoint.metadata import PolicyMetadata, ReturnQuantiles
from lpt.config import ModelConfig, PlanningConfig, from_tree
from lpt.evaluation import Evaluation, LPTPolicy
from lpt.model import LatentPlanTransformer, Spaces

UMAZE = "lpt_envs:lpt/Maze2D-umaze-v1"
PLANNED = {"planning": {"steps": 2}, "evaluation": {"target": 40.0, "sweep": [0.0, 40.0]}}


def make_metadata(config: dict[str, Any] | None = None, **changes: Any) -> PolicyMetadata:
    """Metadata of a policy of maze2d-umaze; `config` is a tree of its settings."""
    values = dict(
        task="maze2d-umaze",
        algorithm="lpt",
        env_id=UMAZE,
        updates=10,
        seed=3,
        spaces=Spaces(observation_dim=4, action_dim=2, discrete=False),
        observation_mean=(0.1, 0.2, 0.3, 0.4),
        observation_std=(1.0, 2.0, 3.0, 4.0),
        return_mean=6.5,
        return_std=12.25,
        return_quantiles=ReturnQuantiles.from_values((0.0, 0.0, 1.0, 20.0, 50.0, 60.0)),
        provenance={"source": "regenerated", "fingerprint": "ab" * 32},
    )
    values |= changes
    own = {name: values[name] for name in ("task", "algorithm", "seed")}
    tree = {**own, **(PLANNED if config is None else config)}
    return PolicyMetadata(**values, config=from_tree(tree))


def model_tree(model: LatentPlanTransformer) -> dict[str, Any]:
    """The settings of a model, as a tree for `make_metadata`."""
    return {"model": dataclasses.asdict(model.config)}


def make_policy_model(
    discrete: bool = False, seed: int = 0, **changes: Any
) -> LatentPlanTransformer:
    """A model of `make_metadata`'s spaces, or of 3 discrete actions."""
    torch.manual_seed(seed)
    likelihood = "categorical" if discrete else "gaussian"
    sizes = dict(width=16, heads=2, context=5, plan_tokens=2, prior_width=4, return_hidden=8)
    config = ModelConfig(**{**sizes, "likelihood": likelihood, **changes})
    spaces = Spaces(observation_dim=4, action_dim=3 if discrete else 2, discrete=discrete)
    return LatentPlanTransformer(config, spaces)


def make_policy(
    discrete: bool = False,
    *,
    dropout: float = 0.0,
    model: dict[str, Any] | None = None,
    **options: Any,
) -> LPTPolicy:
    """A policy of such a model, of which `model` holds more settings."""
    network = make_policy_model(discrete, **{"dropout": dropout, **(model or {})})
    metadata = make_metadata(spaces=network.spaces)
    return LPTPolicy(network, metadata, **{"planning": PlanningConfig(steps=2), **options})


class Corridor(gymnasium.Env):
    """An environment whose episodes last 1 to 9 steps, by their seed, and pay 1 a step.

    Stepping on after the end is refused, and the first observation names the episode's length.
    """

    def __init__(self, discrete: bool = False, endless: bool = False) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
        self.action_space = (
            gymnasium.spaces.Discrete(3) if discrete else gymnasium.spaces.Box(-1, 1, (2,))
        )
        self.endless, self.left = endless, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(1, 10))
        return np.full(4, self.left, np.float32), {}

    def step(self, action):
        if self.left <= 0:
            raise RuntimeError("stepped after the end")
        if not self.action_space.contains(action):
            raise RuntimeError(f"not an action: {action!r}")
        self.left -= 0 if self.endless else 1
        done = self.left == 0
        info = {"success": True} if done else {}
        return np.full(4, self.left, np.float32), 1.0, done, False, info

    @staticmethod
    def lengths(seeds) -> list[int]:
        """Lengths of the episodes of these seeds."""
        return [int(np.random.default_rng(seed).integers(1, 10)) for seed in seeds]


def make_evaluation(returns: Any, **changes: Any) -> Evaluation:
    """Episodes of 300 steps in maze2d-umaze that earned these returns."""
    values = dict(
        task="maze2d-umaze",
        env_id=UMAZE,
        returns=np.asarray(returns, float),
        lengths=np.full(len(returns), 300),
        successes=None,
        target=165.0,
        weight=1.0,
        deterministic=True,
        seed=1000,
        plans={"predicted_return": 150.0},
        seconds=1.5,
    )
    return Evaluation(**{**values, **changes})
