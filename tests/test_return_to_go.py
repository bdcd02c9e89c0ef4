"""The return-to-go is the same number in data and rollouts, and the policy obeys it."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch

from lpt.algorithms import find_algorithm
from lpt.algorithms.return_to_go import ReturnToGo, with_return_to_go
from lpt.config import DatasetConfig, ModelConfig
from lpt.data import TrajectoryDataset
from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import evaluate
from lpt.model.spaces import Spaces
from lpt.reporting.plan_space import plan_space_figure

SPACES = Spaces(observation_dim=5, action_dim=2, discrete=False)


def two_trajectories(**config) -> TrajectoryDataset:
    return TrajectoryDataset.from_offsets(
        np.arange(10.0).reshape(5, 2),
        np.zeros((5, 1)),
        [1.0, 2.0, 4.0, 10.0, -3.0],
        [0, 3, 5],
        config=DatasetConfig(**config),
    )


def test_the_column_is_what_is_still_to_come():
    data = with_return_to_go(two_trajectories())
    np.testing.assert_array_equal(data.observations[:, :2], np.arange(10.0).reshape(5, 2))
    np.testing.assert_array_equal(data.observations[:, 2], [7, 6, 4, 7, -3])
    assert data.observation_dim == 3 and not data.observations.flags.writeable


def test_held_returns_are_to_go_from_the_start():
    data = with_return_to_go(two_trajectories(returns="held", horizon=4))
    np.testing.assert_array_equal(data.returns, [11, 1])
    np.testing.assert_array_equal(data.observations[:, 2], [11, 10, 8, 1, -9])


def test_dropped_and_left_out_trajectories_leave_the_others_as_they_are():
    arrays = (np.zeros((9, 1)), np.zeros((9, 1)), np.arange(1.0, 10.0), [0, 1, 4, 5, 7, 9])
    whole = TrajectoryDataset.from_offsets(*arrays, config=DatasetConfig(min_length=2))
    assert whole.returns.tolist() == [9, 13, 17]
    column = with_return_to_go(whole).observations[:, 1]
    np.testing.assert_array_equal(column, [9, 7, 4, 13, 7, 17, 9])
    best = with_return_to_go(whole.best(0.67)).observations[:, 1]
    np.testing.assert_array_equal(best, [13, 7, 17, 9])


def test_raw_returns_must_be_standardized():
    with pytest.raises(ValueError, match=r"returns reach 70.*standardize_observations"):
        raw = replace(two_trajectories(standardize_observations=False), returns=np.array([70.0]))
        with_return_to_go(raw)


def test_data_and_rollout_agree_on_a_recorded_episode():
    env = ReturnToGo(gymnasium.make("Pendulum-v1", max_episode_steps=20), target=0.0)
    observation, _ = env.reset(seed=3)
    seen, plain, rewards = [observation], [], []
    for _ in range(20):
        observation, reward, *_ = env.step(np.array([0.5], np.float32))
        seen.append(observation)
        rewards.append(reward)
    env.target = sum(rewards)
    again = [env.reset(seed=3)[0], *(env.step(np.array([0.5], np.float32))[0] for _ in range(19))]
    plain = np.stack(again)[:, :3]
    data = with_return_to_go(
        TrajectoryDataset.from_offsets(plain, np.zeros((20, 1)), rewards, [0, 20])
    )
    np.testing.assert_allclose(np.stack(again), data.observations, rtol=1e-5, atol=1e-4)


def test_the_wrapper_has_fitting_spaces_and_starts_anew_at_each_reset(corridor):
    env = ReturnToGo(corridor(), target=9.0)
    assert env.observation_space.shape == (5,)
    for _ in range(2):
        assert env.reset(seed=1)[0][-1] == 9.0
        assert env.step(env.action_space.sample())[0][-1] == 8.0
    dictionary = gymnasium.spaces.Dict({"a": gymnasium.spaces.Box(-1, 1, (2,))})
    env.env.observation_space = dictionary
    with pytest.raises(ValueError, match="FlattenObservation"):
        ReturnToGo(env.env, 1.0)


def test_the_policy_does_what_earns_what_is_to_go(make_config, two_behaviors, train):
    """The players earn +1 and -1 and push up or down: the return-to-go tells what to push."""
    config = make_config(algorithm="dt", updates=50, training={"average": 0, "learning_rate": 2e-2})
    data = find_algorithm("dt").training_data(two_behaviors)
    model = train(config, data, 50).model.eval()

    def push(to_go: float) -> float:
        state = torch.tensor([[0.0, 0.0, (to_go - data.observation_mean[2])]])
        state[:, 2] /= float(data.observation_std[2])
        with torch.no_grad():
            cache = model.begin(model.prompt(torch.zeros(1)))
            return float(model.step(cache, state, torch.zeros(1, 1)).mode())

    assert push(1.0) == pytest.approx(0.4, abs=0.15)
    assert push(-1.0) == pytest.approx(-0.4, abs=0.15)


@pytest.fixture(scope="module")
def policy(make_metadata):
    model = find_algorithm("dt").build(ModelConfig(width=8, heads=2, layers=1, context=2), SPACES)
    metadata = make_metadata(
        algorithm="dt", task="corridor", env_id=None, spaces=SPACES,
        observation_mean=(0.0,) * 5, observation_std=(1.0,) * 5,
    )  # fmt: skip
    return LPTPolicy(model, metadata)


def test_ones_own_wrapper_is_not_wrapped_again(policy, corridor):
    given = ReturnToGo(corridor(), target=3.0)
    result = evaluate(policy, lambda: given, episodes=1, target=6.0)
    assert given.target == 6.0 and result.target == 6.0
    assert result.weight == 1.0  # a baseline infers nothing, whatever planning.weight says


def test_without_the_wrapper_the_policy_says_what_is_missing(policy):
    with pytest.raises(ValueError, match=r"wrapped in lpt\.evaluation\.ReturnToGo"):
        policy.act(np.zeros(4, np.float32))


def test_a_plan_space_gives_every_episode_its_own_target(policy, monkeypatch, corridor):
    targets = []
    monkeypatch.setattr(
        policy,
        "environment",
        lambda env_id, target: targets.append(target) or ReturnToGo(corridor(), target),
    )
    monkeypatch.setattr("lpt.reporting.plan_space.maze_of", lambda env_id, **kwargs: None)
    plan_space_figure(policy, [1.0, 2.0], per_target=2, env_id="Corridor-v0")
    assert targets == [1.0, 1.0, 2.0, 2.0]
