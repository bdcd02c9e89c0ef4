"""Every episode counts once, whatever its length, and the seed alone decides the result."""

from dataclasses import replace

import gymnasium
import numpy as np
import pytest

from lpt.config import EvaluationConfig
from lpt.evaluation.environments import make_environment
from lpt.evaluation.rollout import evaluate

UMAZE = "lpt_envs:lpt/Maze2D-umaze-v1"


@pytest.mark.parametrize("discrete", [False, True])
@pytest.mark.parametrize("parallel", [1, 3, 128])
def test_each_episode_counts_once_whatever_its_length(discrete, parallel, make_policy, corridor):
    """Corridor refuses steps after its end, so an autoreset or an extra step would raise."""
    policy = make_policy(discrete)
    result = evaluate(
        policy, lambda: corridor(discrete), episodes=10, seed=50, parallel=parallel, record=True
    )
    lengths = corridor.lengths(range(50, 60))
    assert len(set(lengths)) > 3
    assert result.lengths.tolist() == lengths and result.returns.tolist() == lengths
    assert result.successes is not None and result.successes.all()
    for observations, length in zip(result.observations, lengths, strict=True):
        assert observations[:, 0].tolist() == list(range(length, -1, -1))


def test_seed_decides_and_what_ran_before_does_not(make_policy, short_episodes):
    policy = make_policy()
    first = evaluate(policy, UMAZE, episodes=3, seed=7, deterministic=False, record=True)
    evaluate(policy, UMAZE, episodes=2, seed=8, deterministic=False)
    again = evaluate(policy, UMAZE, episodes=3, seed=7, deterministic=False, record=True)
    other = evaluate(policy, UMAZE, episodes=3, seed=9, deterministic=False, record=True)
    assert np.array_equal(first.observations, again.observations)
    assert not np.array_equal(first.observations, other.observations)
    starts = [make_environment(UMAZE).reset(seed=7 + i)[0] for i in range(3)]
    assert np.allclose([o[0] for o in first.observations], starts)
    assert first.lengths.tolist() == [short_episodes] * 3


def test_evaluation_is_predict_in_a_plain_loop(make_policy, short_episodes):
    policy = make_policy()
    result = evaluate(policy, episodes=2, seed=3, record=True)
    policy.seed(3)
    env, state = make_environment(UMAZE), policy.begin(policy.plan(n=2).z[1:])
    observation, _ = env.reset(seed=4)
    done, total, seen = False, 0.0, [observation]
    while not done:
        action, state = policy.predict(observation[None], state)
        observation, reward, terminated, truncated, _ = env.step(action[0])
        done, total = terminated or truncated, total + float(reward)
        seen.append(observation)
    assert total == result.returns[1]
    assert np.allclose(result.observations[1], seen, atol=1e-4)


def test_target_and_weight_are_used_and_reported(make_policy, corridor):
    policy = make_policy()
    asked = evaluate(policy, corridor, episodes=2, target=-30.0, weight=9.0)
    default = evaluate(policy, corridor, episodes=2)
    assert (asked.target, asked.weight) == (-30.0, 9.0)
    assert (default.target, default.weight) == (40.0, 1.0)
    assert asked.predicted_return != default.predicted_return
    assert "target=-30, weight=9, episodes=2" in repr(asked)


def test_an_environment_of_ones_own_by_its_id(make_policy, corridor):
    gymnasium.register("tests/Corridor-v0", entry_point=corridor, max_episode_steps=4)
    try:
        result = evaluate(make_policy(), "tests/Corridor-v0", episodes=6, seed=0)
    finally:
        del gymnasium.registry["tests/Corridor-v0"]
    assert result.env_id == "tests/Corridor-v0"
    assert result.lengths.tolist() == [min(n, 4) for n in corridor.lengths(range(6))]


def test_training_mode_is_put_back(make_policy, corridor):
    policy = make_policy(dropout=0.5)
    policy.model.train()
    evaluate(policy, corridor, episodes=2)
    assert policy.model.training and all(m.training for m in policy.model.modules())


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("NoSuch-v7", "cannot make the environment 'NoSuch-v7'.*my_package:My-v0"),
        ("no_such_module:My-v0", "cannot make the environment 'no_such_module:My-v0'"),
        ("Pendulum-v1", "Pendulum-v1 has observations Box.*vectors of 4 .maze2d-umaze"),
        ("CartPole-v1", "CartPole-v1 has actions Discrete.2.*continuous actions of 2 dimensions"),
    ],
)
def test_environments_that_do_not_fit_are_refused(env, message, make_policy):
    with pytest.raises(ValueError, match=message):
        evaluate(make_policy(), env, episodes=1)


def test_endless_episodes_are_given_up(monkeypatch, make_policy, corridor):
    monkeypatch.setattr("lpt.evaluation.rollout.STEP_LIMIT", 20)
    with pytest.raises(ValueError, match="Corridor: an episode did not end within 20 steps"):
        evaluate(make_policy(), lambda: corridor(endless=True), episodes=1)


def test_counts_below_one_are_refused(make_policy):
    with pytest.raises(ValueError, match=r"evaluation.episodes=0 must be at least 1"):
        EvaluationConfig(episodes=0)
    policy = make_policy()
    policy.metadata = replace(policy.metadata, env_id=None)
    with pytest.raises(ValueError, match="checkpoint names no environment"):
        evaluate(policy)
