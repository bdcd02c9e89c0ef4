"""Small random policies and environments that several tests use."""

import gymnasium
import numpy as np
import torch

from lpt.checkpoint import PolicyMetadata
from lpt.model import LatentPlanTransformer, ModelConfig, Spaces
from lpt.planning import PlanningConfig
from lpt.policy import LPTPolicy

UMAZE = "lpt_envs:lpt/Maze2D-umaze-v1"


def make_metadata(**changes) -> PolicyMetadata:
    values = dict(
        task="maze2d-umaze",
        algorithm="lpt",
        env_id=UMAZE,
        step=10,
        seed=3,
        spaces=Spaces(observation_dim=4, action_dim=2, discrete=False),
        observation_mean=(0.1, 0.2, 0.3, 0.4),
        observation_std=(1.0, 2.0, 3.0, 4.0),
        return_mean=6.5,
        return_std=12.25,
        return_quantiles=(0.0, 0.0, 1.0, 20.0, 50.0, 60.0),
        provenance={"source": "regenerated", "fingerprint": "ab" * 32},
        config={"planning": {"steps": 2}, "evaluation": {"target": 40.0, "sweep": [0.0, 40.0]}},
    )
    return PolicyMetadata(**{**values, **changes})


def make_model(discrete: bool = False, seed: int = 0, **changes) -> LatentPlanTransformer:
    torch.manual_seed(seed)
    likelihood = "categorical" if discrete else "gaussian"
    sizes = dict(width=16, heads=2, context=5, plan_tokens=2, prior_width=4, return_hidden=8)
    config = ModelConfig(**{**sizes, "likelihood": likelihood, **changes})
    spaces = Spaces(observation_dim=4, action_dim=3 if discrete else 2, discrete=discrete)
    return LatentPlanTransformer(config, spaces)


def make_policy(discrete: bool = False, *, dropout: float = 0.0, **options) -> LPTPolicy:
    model = make_model(discrete, dropout=dropout)
    metadata = make_metadata(spaces=model.spaces)
    return LPTPolicy(model, metadata, PlanningConfig(steps=2), **options)


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


def corridor_lengths(seeds) -> list[int]:
    return [int(np.random.default_rng(seed).integers(1, 10)) for seed in seeds]
