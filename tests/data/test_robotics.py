"""Antmaze and kitchen, from small files like D4RL's and Minari's, and their living environments."""

import copy
import sys
import warnings

import gymnasium as gym
import h5py
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from lpt.config import DatasetConfig
from lpt.data import TrajectoryDataset, find_task, load, write_d4rl
from lpt.data.rewards import pay_once
from lpt_envs.making import make_env


@pytest.fixture(autouse=True)
def _offline(folders, monkeypatch):
    monkeypatch.setenv("LPT_OFFLINE", "1")


def d4rl_file(path, rewards, flags, *, observation_dim, act_dim):
    """An HDF5 file in D4RL's layout, with random observations and actions."""
    rng, rows = np.random.default_rng(0), len(rewards)
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(size=(rows, observation_dim)).astype(np.float32)
        file["actions"] = rng.uniform(-1, 1, (rows, act_dim)).astype(np.float32)
        file["rewards"] = np.asarray(rewards, np.float32)
        for key, steps in flags.items():
            file[key] = np.isin(np.arange(rows), steps)
        file["infos/goal"] = np.zeros((rows, 2), np.float32)
        file["metadata/policy"] = "not read"


def test_d4rls_antmaze_file(folders):
    task = find_task("antmaze-umaze-v2")
    # An arrival at step 30, stays at the goal until 33, wanders off; a time-out at 59 and at 99.
    terminals, timeouts = [30, 31, 32, 33], [59, 99]
    rewards = np.isin(np.arange(110), terminals)
    flags = {"terminals": terminals, "timeouts": timeouts}
    d4rl_file(folders / "d4rl" / task.files[0], rewards, flags, observation_dim=29, act_dim=8)
    lines = []
    data = load("antmaze-umaze", log=lines.append)  # as D4RL's sequence_dataset cuts it
    assert data.lengths.tolist() == [31, 1, 1, 1, 26, 40]
    assert data.returns.tolist() == [1, 1, 1, 1, 0, 0] and data.terminated.sum() == 4
    assert data.observation_dim == 29 and data.provenance.env_id is None
    assert "found in the D4RL cache" in lines[0] and "NOT evaluated" in lines[1]
    assert "--source minari takes D4RL/antmaze/umaze-v1" in lines[1] and len(lines) == 2
    whole = load("antmaze-umaze", DatasetConfig(min_length=20), log=None)  # the preset's
    assert whole.lengths.tolist() == [31, 26, 40] and whole.returns.tolist() == [1, 0, 0]


def test_d4rls_kitchen_file_counts_subtasks(folders):
    task = find_task("kitchen-mixed-v0")
    counts = [0] * 9 + [1] * 5 + [2] * 6 + [0] * 4 + [2] * 2 + [1] * 3 + [3] * 5  # 20 + 14 steps
    d4rl_file(
        folders / "d4rl" / task.files[0],
        counts,
        {"terminals": [19, 33]},
        observation_dim=60,
        act_dim=9,
    )
    lines = []
    data = load("kitchen-mixed", log=lines.append)
    assert data.lengths.tolist() == [20, 14] and data.returns.tolist() == [2, 3]
    assert np.flatnonzero(data.rewards).tolist() == [9, 14, 24, 29]
    assert data.rewards[24] == 2 and data.config.horizon == 280
    assert "returns up to 22): paid once, as in evaluation (up to 4)" in lines[1]
    assert data.provenance.details["rewards"] == "paid once, where first reached"
    write_d4rl(folders / "own.hdf5", data)
    again = load("kitchen-mixed", source=str(folders / "own.hdf5"), log=None)
    assert again.returns.tolist() == [2, 3]


def test_paying_once_ends_where_an_episode_would(steps):
    arrays = steps([6, 4, 5, 2])
    arrays["rewards"] = np.zeros(17, np.float32)
    arrays["rewards"][[3, 4, 5, 11, 12]] = 1
    data = TrajectoryDataset.from_steps(**arrays, config=DatasetConfig(min_length=3))
    paid = pay_once(data, 1.0)
    assert paid.lengths.tolist() == [4, 4] and paid.returns.tolist() == [1, 0]
    assert paid.terminated.tolist() == [True, False]
    np.testing.assert_array_equal(paid.observations, data.observations[[0, 1, 2, 3, 6, 7, 8, 9]])
    assert paid.provenance.details["dropped_short_trajectories"] == 2  # one of them cut to 2 steps
    assert pay_once(data, 4.0) is data


@pytest.mark.parametrize("name", ["antmaze-umaze-diverse", "kitchen-partial"])
def test_without_data_the_error_says_how_to_have_them(name):
    task = find_task(name)
    for source in ("auto", "d4rl"):
        with pytest.raises(FileNotFoundError) as caught:
            load(name, source=source)
        text = str(caught.value)
        assert task.files[0] in text and "--source d4rl downloads it" in text
        assert f"--source minari downloads {task.minari_id}" in text
        assert f"minari download {task.minari_id}" in text
        assert ("LPT_OFFLINE is set" in text) == (source == "d4rl")  # auto asks no server


RECORDED = {
    "antmaze-umaze": {"continuing_task": True, "reset_target": False},
    "kitchen-mixed": {
        "remove_task_when_completed": False,
        "terminate_on_tasks_completed": False,
        "tasks_to_complete": ["microwave", "kettle", "bottom burner", "light switch"],
        "max_episode_steps": 450,
    },
    "kitchen-partial": {
        "remove_task_when_completed": False,
        "terminate_on_tasks_completed": False,
        "tasks_to_complete": ["microwave", "kettle", "light switch", "slide cabinet"],
        "max_episode_steps": 450,
    },
}
"""What Minari's own sets were recorded in."""


@pytest.mark.parametrize(
    ("name", "observation_dim", "keys"),
    [
        ("antmaze-umaze", 31, None),
        ("kitchen-mixed", 83, ["bottom burner", "kettle", "light switch", "microwave"]),
        ("kitchen-partial", 81, ["kettle", "light switch", "microwave", "slide cabinet"]),
    ],
)
def test_data_and_environment_are_flattened_alike(name, observation_dim, keys, folders, stack):
    """Recorded by Minari in the real environment, stepped again in the one of evaluation."""
    pytest.importorskip("gymnasium_robotics")
    task, seed = find_task(name), 3
    env = make_env(task.env_id, disable_env_checker=True, **task.env_kwargs)
    flat = [env.reset(seed=seed)[0]]
    actions = [env.action_space.sample() for _ in range(5)]
    for action in actions:
        observation, _, terminated, truncated, _ = env.step(action)
        flat.append(observation)
        assert not (terminated or truncated)
    assert env.observation_space.shape == (observation_dim,)
    env.close()
    record(name, seed, actions, stack)
    lines = []
    data = load(name, source="minari", log=lines.append)
    np.testing.assert_allclose(data.observations, np.stack(flat)[:-1], rtol=1e-6, atol=1e-6)
    assert f"local Minari data set {task.minari_id} (asked for)" in lines[0] and len(lines) == 1
    stored = minari.load_dataset(task.minari_id).observation_space
    assert list(stored) == ["achieved_goal", "desired_goal", "observation"]
    assert keys is None or list(stored["desired_goal"]) == keys
    d4rl_file(
        folders / "d4rl" / task.files[0], [0.0], {"terminals": [0]}, observation_dim=2, act_dim=2
    )
    assert load(name, log=lines.append).provenance == data.provenance  # auto prefers what fits
    assert lines[1].endswith(f"{task.minari_id} (D4RL's files do not fit {task.env_id})")
    provenance = data.provenance  # the task's environment, not the endless one of the recording
    assert (provenance.env_id, provenance.id) == (task.env_id, name)
    assert provenance.details["env_kwargs"] == task.env_kwargs
    assert data.config.horizon == task.horizon == env.spec.max_episode_steps


def record(name, seed, actions, stack):
    """Writes Minari's own set of a task, with one episode of the environment it was made in."""
    task = find_task(name)
    kwargs = {**RECORDED[name]}
    if name.startswith("antmaze"):
        kwargs["maze_map"] = task.env_kwargs["maze_map"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # v4 is old; metadata that are not given
        env = gym.make(task.env_id, disable_env_checker=True, **kwargs)
        observations = [copy.deepcopy(env.reset(seed=seed)[0])]
        rewards = []
        for action in actions:
            observation, reward, *_ = env.step(action)
            observations.append(copy.deepcopy(observation))
            rewards.append(reward)
        buffer = EpisodeBuffer(
            observations=stack(env.observation_space, observations),
            actions=np.array(actions),
            rewards=np.array(rewards),
            terminations=np.zeros(len(actions), bool),
            truncations=np.arange(len(actions)) == len(actions) - 1,
        )
        minari.create_dataset_from_buffers(task.minari_id, [buffer], env=env)
        env.close()


def test_the_environments_end_at_the_goal_and_say_so():
    pytest.importorskip("gymnasium_robotics")
    task = find_task("antmaze-umaze")
    env = make_env(task.env_id, disable_env_checker=True, **task.env_kwargs)
    observation, _ = env.reset(seed=0)
    assert np.linalg.norm(observation[:2] - [-4, -4]) < 1.5  # starts at one end of the U
    assert np.linalg.norm(observation[2:4] - [-4, 4]) < 1.5  # its goal is the other
    inner = env.unwrapped
    inner.goal = observation[:2] + 0.1
    _, reward, terminated, _, info = env.step(np.zeros(8, np.float32))
    assert (reward, terminated, info["success"]) == (1.0, True, True)
    env.close()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium_robotics.utils.mujoco_utils", None)
    with pytest.raises(ImportError, match=r"pip install 'lpt-toolkit\[robotics\]'"):
        make_env("gymnasium_robotics:FrankaKitchen-v1")
