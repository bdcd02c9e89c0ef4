"""Gymnasium's vector environments: every mode of autoreset, and the right first steps."""

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from lpt.evaluation import EpisodeStarts

MODES = list(AutoresetMode)
STEPS = 30


class Counter(gymnasium.Env):
    """Shows the step of the episode, then the number of the episode; episodes last 2 to 5 steps."""

    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (4,), np.float32)
    action_space = gymnasium.spaces.Box(-1, 1, (2,))

    def __init__(self, row=0):
        self.episode, self.row, self.time = -1, row, 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.time = self.episode + 1, 0
        return self.observe(), {}

    def step(self, action):
        self.time += 1
        ended = self.time == 2 + (self.row + self.episode) % 4
        return self.observe(), 1.0, ended and self.episode % 2 == 0, ended, {}

    def observe(self):
        return np.array([self.time, self.episode, self.row, 1], np.float32)


def loop(policy, mode):
    """Play with the helper; observations, starts and actions `[STEPS, n, ...]`."""
    envs = SyncVectorEnv([lambda i=i: Counter(i) for i in range(3)], autoreset_mode=mode)
    starts = EpisodeStarts(envs)
    observations, _ = envs.reset(seed=0)
    state, start, record = None, starts.reset(), []
    for _ in range(STEPS):
        actions, state = policy.predict(observations, state, start)
        record.append((observations.copy(), start, actions))
        observations, _, terminated, truncated, _ = envs.step(actions)
        start = starts.step(terminated, truncated)
        if mode is AutoresetMode.DISABLED and start.any():
            observations, _ = envs.reset(options={"reset_mask": start})
    envs.close()
    return [np.stack(part) for part in zip(*record, strict=True)]


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_starts_are_the_first_steps_and_no_others(mode, make_policy):
    observations, starts, _ = loop(make_policy(), mode)
    assert np.array_equal(starts, observations[..., 0] == 0)
    assert starts[1:].any(axis=0).all()


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_row_acts_as_its_episodes_would_alone(mode, make_policy):
    policy = make_policy()
    observations, starts, actions = loop(policy, mode)
    policy.seed(0)
    plans = policy.plan(n=3).z
    for row in range(3):
        state = None
        for seen, start, action in zip(
            observations[:, row], starts[:, row], actions[:, row], strict=True
        ):
            state = policy.begin(plans[row : row + 1]) if start else state
            alone, state = policy.predict(seen, state)
            assert np.allclose(alone, action, atol=1e-5)


def test_the_flags_of_the_step_come_too_early_where_the_next_step_resets():
    """The reason for the helper: gymnasium's default shows an episode's last observation first."""
    envs = SyncVectorEnv([Counter], autoreset_mode=AutoresetMode.NEXT_STEP)
    starts = EpisodeStarts(envs)
    envs.reset(seed=0)
    naive, helped = [], []
    for _ in range(3):
        observations, _, terminated, truncated, _ = envs.step(np.zeros((1, 2), np.float32))
        first = observations[0, 0] == 0
        naive.append(bool((terminated | truncated)[0]) == first)
        helped.append(bool(starts.step(terminated, truncated)[0]) == first)
    assert all(helped) and not all(naive)


def test_other_environments_are_refused():
    with pytest.raises(ValueError, match="Counter has no autoreset_mode: give a gymnasium"):
        EpisodeStarts(Counter())
