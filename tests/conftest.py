"""Small data sets, models and configurations that the tests share; everything is seeded."""

import os
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lpt.config import Config, TrainingConfig
from lpt.data import Provenance, SamplerConfig, TrajectoryDataset
from lpt.model import LatentPlanTransformer, ModelConfig, Spaces
from lpt.posterior import PosteriorConfig
from lpt.proposal import ProposalConfig

torch.set_num_threads(1)
os.environ["LPT_OFFLINE"] = "1"  # a test must never wait for a network

SMALL_MODEL = ModelConfig(
    layers=2,
    heads=2,
    width=8,
    context=5,
    plan_tokens=2,
    return_hidden=16,
    prior_width=4,
    prior_multipliers=(1, 2),
)


def random_steps(lengths: list[int], seed: int) -> tuple[np.random.Generator, np.ndarray]:
    """A generator, and the offsets of trajectories of the given lengths."""
    return np.random.default_rng(seed), np.concatenate(([0], np.cumsum(lengths)))


@pytest.fixture(scope="session")
def dataset() -> TrajectoryDataset:
    """24 trajectories of 1 to 30 steps with 3 observations and 2 actions, all random."""
    lengths = [1, 2, 3, 30, *np.random.default_rng(5).integers(4, 30, 20).tolist()]
    rng, offsets = random_steps(lengths, 0)
    steps = int(offsets[-1])
    return TrajectoryDataset.from_offsets(
        rng.normal(2.0, 3.0, (steps, 3)),
        rng.uniform(-1.0, 1.0, (steps, 2)),
        rng.normal(size=steps),
        offsets,
        provenance=Provenance(id="random"),
    )


@pytest.fixture(scope="session")
def discrete_dataset() -> TrajectoryDataset:
    """16 trajectories of 4 to 12 steps with 3 observations and 5 discrete actions."""
    lengths = np.random.default_rng(6).integers(4, 12, 16).tolist()
    rng, offsets = random_steps(lengths, 1)
    steps = int(offsets[-1])
    flags = np.zeros(steps, bool)
    flags[offsets[1:] - 1] = True
    actions = rng.integers(0, 5, steps)
    actions[:5] = np.arange(5)
    return TrajectoryDataset.from_steps(
        rng.normal(size=(steps, 3)), actions, rng.normal(size=steps), flags, np.zeros(steps, bool)
    )


@pytest.fixture(scope="session")
def two_behaviours() -> TrajectoryDataset:
    """96 trajectories of 12 to 24 steps by two players that push the one action up or down.

    Observations tell nothing; one action tells little (mean +-0.4, noise 0.4); the sum of a
    trajectory's actions tells the player, and the return is +1 for one and -1 for the other.
    """
    lengths = np.random.default_rng(7).integers(12, 25, 96).tolist()
    rng, offsets = random_steps(lengths, 2)
    steps = int(offsets[-1])
    player = np.repeat(np.tile([1.0, -1.0], 48), lengths)
    rewards = np.zeros(steps)
    rewards[offsets[1:] - 1] = player[offsets[1:] - 1]
    actions = 0.4 * player[:, None] + 0.4 * rng.normal(size=(steps, 1))
    return TrajectoryDataset.from_offsets(
        rng.normal(size=(steps, 2)), actions.clip(-1.0, 1.0), rewards, offsets
    )


@pytest.fixture(scope="session")
def make_model() -> Callable[..., LatentPlanTransformer]:
    """``make_model(seed=0, **model_settings)``: a small model in evaluation mode.

    Parameters that start at zero (biases, the U-Net's last layer) are drawn at random as well, so
    that every path through the model matters.
    """

    def make(
        seed: int = 0,
        observation_dim: int = 3,
        action_dim: int = 2,
        spread: float = 0.1,
        **settings: object,
    ) -> LatentPlanTransformer:
        config = replace(SMALL_MODEL, **settings)
        discrete = config.likelihood == "categorical"
        spaces = Spaces(observation_dim=observation_dim, action_dim=action_dim, discrete=discrete)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = LatentPlanTransformer(config, spaces).eval()
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter.add_(spread * torch.randn(parameter.shape))
        return model

    return make


@pytest.fixture(scope="session")
def make_config() -> Callable[..., Config]:
    """``make_config(**fields)``: a small run's configuration; ``model`` etc. take dictionaries."""

    def make(**fields: object) -> Config:
        base = Config(
            env="toy",
            steps=100,
            model=SMALL_MODEL,
            sampler=SamplerConfig(batch_trajectories=8, segments=2, segment_steps=6),
            proposal=ProposalConfig(steps=4, width=16, layers=1, heads=2),
            posterior=PosteriorConfig(prior_warmup=4),
            training=TrainingConfig(warmup=5),
        )
        changes = {
            name: replace(getattr(base, name), **value) if isinstance(value, dict) else value
            for name, value in fields.items()
        }
        return replace(base, **changes)

    return make
