"""The goal prompt: a trajectory's own end in learning, the data's for a return when acting."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lpt.algorithms import find_algorithm
from lpt.config import DatasetConfig
from lpt.data import TrajectoryDataset
from lpt.data.held import held_ends
from lpt.evaluation import LPTPolicy
from lpt.model.goal import LABELS, NEAREST, KnownEnds
from lpt.training.diagnosis import diagnose
from lpt.training.initial import begin_from
from lpt.training.run import Run
from lpt.training.trainer import Trainer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def walkers() -> TrajectoryDataset:
    """96 trajectories of 6 steps from 0 to the left or, for a return of 1, to the right.

    Observations are place and velocity; the action is the direction, which the start does not tell.
    """
    rng, way = np.random.default_rng(3), np.tile([1.0, -1.0], 48)
    place = np.arange(6)[None] * 0.5 * way[:, None] + 0.05 * rng.normal(size=(96, 6))
    speed = np.broadcast_to(0.5 * way[:, None], place.shape)
    rewards = np.zeros((96, 6))
    rewards[:, -1] = way > 0
    return TrajectoryDataset.from_offsets(
        np.stack((place, speed), -1).reshape(-1, 2),
        np.repeat(0.8 * way, 6)[:, None],
        rewards.ravel(),
        np.arange(0, 577, 6),
        config=DatasetConfig(rest=(1,)),
    )


@pytest.fixture(scope="module")
def trainer(walkers, make_config, train) -> Trainer:
    settings = {"average": 0.8, "learning_rate": 1e-2}
    sampler = {"batch_trajectories": 32, "segments": 0}
    model = {"likelihood": "gaussian", "layers": 1, "context": 1, "inputs": "states"}
    config = make_config(
        algorithm="goal", updates=60, training=settings, sampler=sampler, model=model
    )
    return train(config, walkers, 60)


@pytest.fixture(scope="module")
def policy(trainer) -> LPTPolicy:
    class Like:
        config, env_id = trainer.config, None

    Like.trainer = trainer
    return LPTPolicy(trainer.policy_model, Run.metadata(Like), target=1.0)


def test_the_goal_is_the_mean_end_of_the_nearest_labels():
    labels = torch.rand(200, generator=torch.Generator().manual_seed(0))
    ends = torch.stack((labels, labels**2), 1)
    known = KnownEnds(2)
    known.learn(ends, labels)
    low, high = labels.min(), labels.max()
    for asked in (low, low + (high - low) * 100 / (LABELS - 1), high):
        nearest = (labels - asked).abs().argsort()[:NEAREST]
        torch.testing.assert_close(known(asked[None])[0], ends[nearest].mean(0))
    beyond = known(torch.stack((low - 50, high + 50, low, high)))
    assert torch.equal(beyond[:2], beyond[2:])


def test_labels_that_are_all_equal_have_the_first_ends():
    ends = torch.randn(40, 3)
    known = KnownEnds(3)
    known.learn(ends, torch.zeros(40))
    torch.testing.assert_close(known(torch.tensor([0.0, 7.0]))[1], ends[:NEAREST].mean(0))


def test_an_end_is_held_at_rest(walkers):
    ends = held_ends(walkers)
    np.testing.assert_array_equal(ends[:, 0], walkers.observations[5::6, 0])
    assert (ends[:, 1] == 0).all() and (walkers.observations[5::6, 1] != 0).all()


def test_the_policy_plans_for_the_ends_of_the_data_and_goes_there(policy, walkers):
    """Asked for 1 it goes to the right, for 0 to the left: the start alone does not say."""
    ends = (held_ends(walkers) - walkers.observation_mean) / walkers.observation_std
    best = torch.from_numpy(ends[walkers.returns == 1][:NEAREST].mean(0))
    model = policy.model
    torch.testing.assert_close(policy.plan(1.0).z, model.prompt(best[None]))
    for target, way in ((1.0, 1), (0.0, -1)):
        state = policy.begin(policy.plan(target).z)
        action, _ = policy.predict(np.zeros((1, 2)), state)
        assert way * action[0, 0] > 0.2


def test_learning_improves(trainer, walkers, make_config):
    fresh = Trainer(trainer.config, walkers, CPU)
    assert diagnose(trainer)["plan/own"] > diagnose(fresh)["plan/own"] + 0.1
    assert diagnose(trainer)["plan/information"] > 0.1


def test_a_saved_policy_acts_alike(policy, tmp_path):
    loaded = LPTPolicy.load(policy.save(tmp_path / "policy"))
    observation = np.random.default_rng(0).normal(size=(5, 2))
    actions, _ = policy.predict(observation)
    again, _ = loaded.predict(observation)
    np.testing.assert_array_equal(actions, again)


def test_weights_of_a_run_on_other_data_bring_no_ends_of_these(policy, trainer, walkers, tmp_path):
    swapped = replace(walkers, returns=1 - walkers.returns)
    other = Trainer(trainer.config, swapped, CPU)
    own = other.model.known_ends.ends.clone()
    begin_from(other, policy.save(tmp_path / "policy"), lambda text: None)
    assert torch.equal(other.model.known_ends.ends, own)
    assert not torch.allclose(own, trainer.model.known_ends.ends)
    weight = other.policy_model.prompt_network[0].weight
    assert torch.equal(weight, trainer.policy_model.prompt_network[0].weight)


def test_ends_of_whole_numbers_are_refused(walkers):
    board = replace(walkers, observations=np.rint(walkers.observations))
    with pytest.raises(ValueError, match=r"whole numbers only, .* whose mean is no observation"):
        find_algorithm("goal").training_data(board)
    assert find_algorithm("goal").training_data(walkers) is walkers
