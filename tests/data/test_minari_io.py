import warnings

import gymnasium as gym
import minari
import numpy as np
import pytest
from minari.data_collector import EpisodeBuffer

from lpt.config import DatasetConfig
from lpt.data import Provenance, read_minari, write_minari
from lpt.data.formats.minari import flatten_batch, is_minari_id
from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import evaluate

MAZE = "lpt_envs:lpt/Maze2D-umaze-v1"


@pytest.mark.parametrize("discrete", [False, True])
def test_round_trip(make_dataset, folders, discrete):
    dataset = make_dataset([4, 1, 7], discrete=discrete, provenance=Provenance("npz", "mine"))
    write_minari("lpt/test/mine-v0", dataset)
    again = read_minari("lpt/test/mine-v0")
    for name in ("observations", "actions", "rewards", "offsets", "returns", "terminated"):
        np.testing.assert_array_equal(getattr(dataset, name), getattr(again, name))
    assert again.provenance.fingerprint == dataset.provenance.fingerprint
    assert (again.provenance.source, again.provenance.id) == ("minari", "lpt/test/mine-v0")
    assert again.num_actions == dataset.num_actions


def test_minaris_own_tools_open_it(make_dataset, folders):
    dataset = make_dataset([4, 7], provenance=Provenance("regenerated", "x", MAZE))
    final = np.full((2, 3), 5, np.float32)
    write_minari("lpt/mine-v2", dataset, final_observations=final)
    theirs = minari.load_dataset("lpt/mine-v2")
    assert list(minari.list_local_datasets()) == ["lpt/mine-v2"]
    assert (theirs.total_episodes, theirs.total_steps) == (2, 11)
    episode = theirs[1]
    np.testing.assert_array_equal(episode.observations[:-1], dataset.observations[4:])
    np.testing.assert_array_equal(episode.observations[-1], final[1])
    assert episode.truncations[-1] and not episode.terminations.any()
    assert theirs[0].terminations.tolist() == [False, False, False, True]
    assert theirs.env_spec is not None and theirs.env_spec.id == "lpt/Maze2D-umaze-v1"
    env = theirs.recover_environment()
    assert env.reset(seed=0)[0].shape == (4,)
    env.close()


def test_environment_and_horizon_are_recovered(make_dataset, folders):
    write_minari("lpt/mine-v0", make_dataset([4, 7], provenance=Provenance("npz", "x", MAZE)))
    dataset = read_minari("lpt/mine-v0", DatasetConfig(returns="held"))
    assert dataset.provenance.env_id == MAZE and dataset.config.horizon == 300
    assert dataset.provenance.details["env_kwargs"] == {"maze": "umaze", "reward": "sparse"}
    gym.make(dataset.provenance.env_id).close()
    task = Provenance("minari", "maze2d-umaze", "other")
    assert read_minari("lpt/mine-v0", origin=task).provenance.env_id == "other"


def test_overwriting_needs_consent(make_dataset, folders):
    write_minari("lpt/mine-v0", make_dataset([4]))
    with pytest.raises(FileExistsError, match="not overwritten"):
        write_minari("lpt/mine-v0", make_dataset([5]))
    assert read_minari("lpt/mine-v0").num_steps == 4
    write_minari("lpt/mine-v0", make_dataset([5]), overwrite=True)
    assert read_minari("lpt/mine-v0").num_steps == 5
    assert [p.name for p in (folders / "minari").iterdir()] == ["lpt"]  # nothing else is left


def test_a_failed_write_leaves_nothing(make_dataset, folders):
    dataset = make_dataset([4, 4])
    with pytest.raises(IndexError):
        write_minari("lpt/mine-v0", dataset, final_observations=np.zeros((0, 3))[[1]])
    with pytest.raises(ValueError):
        write_minari("lpt/mine-v0", dataset, final_observations=np.zeros((2, 8), np.float32))
    assert not list((folders / "minari").iterdir())


def test_absent_and_malformed_ids(make_dataset, folders):
    with pytest.raises(FileNotFoundError, match=r"minari download mujoco/hopper/medium-v0"):
        read_minari("mujoco/hopper/medium-v0")
    with pytest.raises(ValueError, match="no Minari id"):
        write_minari("no version", make_dataset([4]))
    assert is_minari_id("D4RL/pointmaze/umaze-v2")
    assert not any(map(is_minari_id, ("maze2d-umaze-v1", "a/b", "a/b.npz", "../x-v0")))


def test_damaged_data_are_named(make_dataset, folders):
    write_minari("lpt/mine-v0", make_dataset([400]))
    path = folders / "minari/lpt/mine-v0/data/main_data.hdf5"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ValueError, match=r"lpt/mine-v0: the files in .* are damaged"):
        read_minari("lpt/mine-v0")


SPACES = {
    "box": gym.spaces.Box(-1, 1, (2, 3), np.float32),
    "discrete": gym.spaces.Discrete(5, start=2),
    "binary": gym.spaces.MultiBinary(3),
    "goal": gym.spaces.Dict(
        {
            "observation": gym.spaces.Box(-1, 1, (4,)),
            "achieved_goal": gym.spaces.Box(-1, 1, (2,)),
            "inner": gym.spaces.Dict(
                {"b": gym.spaces.Discrete(2), "a": gym.spaces.Box(0, 1, (1,))}
            ),
        }
    ),
    "tuple": gym.spaces.Tuple([gym.spaces.Discrete(3), gym.spaces.Box(0, 1, (2,))]),
}


@pytest.mark.parametrize("name", SPACES)
def test_flattening_agrees_with_gymnasium(name, stack):
    space = SPACES[name]
    space.seed(0)
    samples = [space.sample() for _ in range(6)]
    expected = np.stack([gym.spaces.flatten(space, sample) for sample in samples])
    np.testing.assert_array_equal(flatten_batch(space, stack(space, samples), "x"), expected)


def test_structured_observations_from_minari(folders, stack):
    space = SPACES["goal"]
    space.seed(0)
    samples = [space.sample() for _ in range(4)]
    buffer = EpisodeBuffer(
        observations=stack(space, samples),
        actions=np.array([3, 2, 4]),
        rewards=np.ones(3),
        terminations=np.zeros(3, bool),
        truncations=np.array([False, False, True]),
    )
    with pytest.warns(UserWarning):
        minari.create_dataset_from_buffers(
            "theirs/goal-v0",
            [buffer],
            observation_space=space,
            action_space=gym.spaces.Discrete(4, start=1),
        )
    dataset = read_minari("theirs/goal-v0")
    expected = np.stack([gym.spaces.flatten(space, sample) for sample in samples[:3]])
    np.testing.assert_allclose(dataset.observations, expected, rtol=1e-6)
    assert dataset.actions.tolist() == [2, 1, 3] and dataset.num_actions == 4
    assert dataset.provenance.env_id is None
    with pytest.raises(ValueError, match="'actions' holds integers"):
        read_minari("theirs/goal-v0", discrete=False)


def test_spaces_without_numbers_are_refused():
    with pytest.raises(ValueError, match="cannot flatten a Text space"):
        flatten_batch(gym.spaces.Text(3), ["abc"], "x")


def collect_pendulum(dataset_id: str, stretch: float = 1.0) -> None:
    """Real episodes of a torque between -2 and 2, in Minari's own files."""
    env = gym.make("Pendulum-v1", max_episode_steps=30)
    env.action_space.seed(0)
    buffers = []
    for episode in range(6):
        observations, actions, rewards = [env.reset(seed=episode)[0]], [], []
        truncated = False
        while not truncated:
            actions.append(env.action_space.sample())
            observation, reward, _, truncated, _ = env.step(actions[-1])
            observations.append(observation)
            rewards.append(reward)
        buffers.append(
            EpisodeBuffer(
                id=episode,
                observations=np.array(observations),
                actions=stretch * np.array(actions),
                rewards=np.array(rewards),
                terminations=np.zeros(30, bool),
                truncations=np.arange(30) == 29,
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of each piece of metadata that is not given
        minari.create_dataset_from_buffers(dataset_id, buffers, env=env)
    env.close()


def test_actions_of_other_bounds_are_rescaled_and_written_as_they_were(folders):
    collect_pendulum("theirs/pendulum-v0")
    dataset = read_minari("theirs/pendulum-v0")
    theirs = np.concatenate([e.actions for e in minari.load_dataset("theirs/pendulum-v0")])
    assert np.abs(theirs).max() > 1.5
    np.testing.assert_allclose(dataset.actions, theirs / 2, atol=1e-6)
    assert dataset.provenance.details["action_bounds"] == [[-2.0], [2.0]]
    assert "action_bounds [[-2.0], [2.0]]" in repr(dataset)
    write_minari("lpt/again-v0", dataset)
    again = minari.load_dataset("lpt/again-v0")
    assert again.action_space == gym.spaces.Box(-2.0, 2.0, (1,), np.float32)
    np.testing.assert_allclose(again[1].actions, theirs[30:60], atol=1e-6)
    np.testing.assert_allclose(read_minari("lpt/again-v0").actions, dataset.actions, atol=1e-6)


def test_actions_outside_their_own_space_are_clipped_and_counted(folders):
    collect_pendulum("theirs/loud-v0", stretch=1.5)
    dataset = read_minari("theirs/loud-v0")
    theirs = np.concatenate([e.actions for e in minari.load_dataset("theirs/loud-v0")])
    np.testing.assert_allclose(dataset.actions, (theirs / 2).clip(-1, 1), atol=1e-6)
    beyond = int((np.abs(theirs) > 2).sum())
    assert dataset.provenance.details["clipped_actions"] == beyond > 0


def test_a_policy_acts_in_the_units_of_its_environment(folders, lpt_train):
    collect_pendulum("theirs/pendulum-v0")
    flags = "--env pendulum --source theirs/pendulum-v0 --updates 2 --evaluation.episodes 2"
    flags += " --sampler.batch-trajectories 6 --device cpu"
    sizes = "--model.width 16 --model.heads 2 --model.context 3 --planning.steps 2"
    out = folders / "run"
    assert lpt_train([*flags.split(), *sizes.split(), "--out", str(out), "--seed", "0"]) == 0
    policy = LPTPolicy.load(out)
    with pytest.raises(ValueError, match=r"Box\(-1.0, 1.0.*answers in \[\[-2.0\], \[2.0\]\]"):
        evaluate(policy, lambda: gym.wrappers.RescaleAction(gym.make("Pendulum-v1"), -1, 1))
    for sampled in (False, True):
        observations = np.random.default_rng(0).normal(size=(64, 3))
        action, state = policy.predict(observations, deterministic=not sampled)
        unit = state.previous_action.numpy()
        np.testing.assert_allclose(action, 2 * unit, atol=1e-6)
    assert np.abs(action).max() > 1  # of draws
    assert policy.act(np.zeros(3)).shape == (1,)
