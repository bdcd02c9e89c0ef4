"""Small data sets, models, policies and runs that the tests share; everything is seeded."""

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import gymnasium
import pytest
import torch
from helpers import datasets, learn, learning, policies, runs
from helpers.forks import Forks

from lpt.checkpoint import PolicyMetadata
from lpt.config import (
    Config,
    ModelConfig,
    PosteriorConfig,
    ProposalConfig,
    SamplerConfig,
    TrainingConfig,
)
from lpt.data import TrajectoryDataset
from lpt.evaluation import Evaluation, LPTPolicy
from lpt.model import LatentPlanTransformer, Spaces
from lpt.training import Trainer

torch.set_num_threads(1)
# A shell starts what runs in the background with Ctrl-C ignored, and so would all that tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)
os.environ["LPT_OFFLINE"] = "1"  # a test must never wait for a network

FORKS = pytest.StashKey[Forks]()
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


@pytest.fixture(scope="session")
def dataset() -> TrajectoryDataset:
    """24 trajectories of 1 to 30 steps with 3 observations and 2 actions, all random."""
    return datasets.continuous()


@pytest.fixture(scope="session")
def discrete_dataset() -> TrajectoryDataset:
    """16 trajectories of 4 to 12 steps with 3 observations and 5 discrete actions."""
    return datasets.discrete()


@pytest.fixture(scope="session")
def two_behaviors() -> TrajectoryDataset:
    """96 trajectories by two players, whom only the sum of many actions tells apart."""
    return datasets.two_behaviors()


@pytest.fixture(scope="session")
def make_model() -> Callable[..., LatentPlanTransformer]:
    """`make_model(seed=0, **model_settings)`: a small model in evaluation mode.

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
    """`make_config(**fields)`: a small run's configuration; `model` etc. take dictionaries."""

    def make(**fields: object) -> Config:
        base = Config(
            task="toy",
            updates=100,
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


@pytest.fixture(scope="session")
def make_metadata() -> Callable[..., PolicyMetadata]:
    """`make_metadata(config=tree, **fields)`: what a policy of maze2d-umaze says of itself."""
    return policies.make_metadata


@pytest.fixture(scope="session")
def make_policy_model() -> Callable[..., LatentPlanTransformer]:
    """`make_policy_model(discrete=False, seed=0, **model_settings)`: a model for that metadata."""
    return policies.make_policy_model


@pytest.fixture(scope="session")
def make_policy() -> Callable[..., LPTPolicy]:
    """`make_policy(discrete=False, dropout=0.0, model={}, **options)`: its policy."""
    return policies.make_policy


@pytest.fixture(scope="session")
def make_evaluation() -> Callable[..., Evaluation]:
    """`make_evaluation(returns, **fields)`: an evaluation in maze2d-umaze."""
    return policies.make_evaluation


@pytest.fixture(scope="session")
def corridor() -> type[policies.Corridor]:
    """An environment whose episodes last 1 to 9 steps; `corridor.lengths(seeds)` says how long."""
    return policies.Corridor


@pytest.fixture(scope="session")
def sizes() -> list[str]:
    """Flags of lpt-train for a model and an evaluation that take next to no time."""
    return runs.SIZES


@pytest.fixture(scope="session")
def make_data() -> Callable[..., Path]:
    """`make_data(path, seed=0, steps=5000)`: maze2d-umaze data, .npz or .hdf5."""
    return runs.make_data


@pytest.fixture(scope="session")
def umaze(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 5000 steps of maze2d-umaze; to be read only."""
    return runs.make_data(tmp_path_factory.mktemp("data") / "umaze.hdf5")


@pytest.fixture(scope="session")
def flags() -> Callable[..., list[str]]:
    """`flags(data, out, updates=60)`: the command line of a small run of lpt-train."""
    return runs.flags


@pytest.fixture(scope="module")
def short_episodes() -> Iterator[int]:
    """Mazes whose episodes end after 20 steps (given) in this process, not after 300 and more."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("lpt/Maze2D-umaze-v1", "lpt/Maze2D-v1"):
            patch.setattr(gymnasium.spec(name), "max_episode_steps", 20)
        yield 20


@pytest.fixture(scope="session")
def lpt_train() -> Callable[..., int]:
    """`lpt_train(arguments)`: lpt-train in this process; gives its exit code."""
    return runs.lpt_train


@pytest.fixture(scope="session")
def train() -> Callable[..., Trainer]:
    """`train(config, data, updates, diagnose_at=())`: a trainer after so many updates."""
    return learning.train


@pytest.fixture(scope="session")
def through_files() -> Callable[..., tuple]:
    """`through_files(trainer)`: its state, through the formats of a checkpoint."""
    return learning.through_files


@pytest.fixture(scope="session")
def assert_same_state() -> Callable[..., None]:
    """`assert_same_state(trainer, other)`: their next updates would be the same."""
    return learning.assert_same_state


@pytest.fixture(scope="session")
def assert_resume_is_exact() -> Callable[..., None]:
    """`assert_resume_is_exact(config, data)`: stopped and resumed equals never stopped."""
    return learning.assert_resume_is_exact


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start what starts processes already: its imports take as long as the first tests do."""
    wanted = any("forks" in getattr(item, "fixturenames", ()) for item in session.items)
    if wanted and not session.config.option.collectonly:
        session.config.stash[FORKS] = Forks(Path(tempfile.mkdtemp(prefix="lpt-forks-")))


def pytest_unconfigure(config: pytest.Config) -> None:
    """End it."""
    if FORKS in config.stash:
        config.stash[FORKS].close()
        shutil.rmtree(config.stash[FORKS].folder)


@pytest.fixture(scope="session")
def forks(pytestconfig: pytest.Config) -> Forks:
    """`forks.start(module, *arguments)`: a process that begins at once; see `helpers.forks`."""
    return pytestconfig.stash[FORKS]


@pytest.fixture(scope="session")
def learn_here() -> Callable[..., int]:
    """`learn_here(commands, folder)`: `helpers.learn` in this process."""
    return learn.learn


@pytest.fixture(scope="session")
def build_trainer() -> Callable[..., Trainer]:
    """`build_trainer(arguments, ranks)`: the trainer of a command line of lpt-train."""
    return learn.build
