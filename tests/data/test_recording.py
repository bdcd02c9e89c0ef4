"""Agents of stable-baselines3 and random play become data sets that say where they come from."""

import json
import re

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC

from lpt.cli.data import main
from lpt.data import read_file, read_minari
from lpt.data.recipes.agents import load_agent
from lpt.data.recipes.recording import record

CARTPOLE, PENDULUM = "CartPole-v1", "ShortPendulum-v0"


@pytest.fixture(autouse=True, scope="module")
def _registered():
    entry = gymnasium.spec("Pendulum-v1").entry_point
    gymnasium.register(PENDULUM, entry, max_episode_steps=12)
    yield
    del gymnasium.registry[PENDULUM]


@pytest.fixture(scope="module")
def agents(tmp_path_factory):
    """Untrained agents by the name of their class."""
    folder = tmp_path_factory.mktemp("agents")
    kinds = ((PPO, CARTPOLE), (A2C, CARTPOLE), (DQN, CARTPOLE), (SAC, PENDULUM), (DDPG, PENDULUM))
    for kind, env in kinds:
        options = {} if kind in (PPO, A2C) else {"buffer_size": 10}
        agent = kind(
            "MlpPolicy", env, seed=1, device="cpu", policy_kwargs={"net_arch": [8]}, **options
        )
        agent.save(folder / kind.__name__)
    return {kind.__name__: str(folder / f"{kind.__name__}.zip") for kind, _ in kinds}


@pytest.mark.parametrize(
    ("kind", "loaded"),
    [("PPO", "PPO"), ("A2C", "A2C"), ("DQN", "DQN"), ("SAC", "SAC"), ("DDPG", "TD3")],
)
def test_every_kind_of_agent_is_known_by_its_file(kind, loaded, agents):
    env = gymnasium.make(CARTPOLE if kind in ("PPO", "A2C", "DQN") else PENDULUM)
    agent = load_agent(agents[kind], env)
    assert agent.describe()["class"] == loaded and agent.name == kind
    agent.seed(3)
    assert env.action_space.contains(np.asarray(agent.act(env.reset(seed=0)[0]))[()])


def test_agents_take_turns_and_the_record_names_them(agents):
    made = record(CARTPOLE, [agents["PPO"], "random"], 5, seed=3)
    data, origin = made.dataset, made.dataset.provenance
    assert len(data) == 5 and data.num_actions == 2 and data.config.horizon == 500
    assert (origin.source, origin.id, origin.env_id) == ("recorded", CARTPOLE, CARTPOLE)
    shares = [(a["name"], a["episodes"]) for a in origin.details["agents"]]
    assert shares == [("PPO", 3), ("random", 2)]
    means = [a["mean_return"] for a in origin.details["agents"]]
    assert means == pytest.approx([data.returns[::2].mean(), data.returns[1::2].mean()])
    assert json.loads(json.dumps(origin.to_dict())) == origin.to_dict()


def test_a_recording_is_what_the_environment_did():
    made = record(CARTPOLE, ["random"], 3, seed=5)
    env, data = gymnasium.make(CARTPOLE), made.dataset
    for i in range(3):
        observation, one = env.reset(seed=5 + i)[0], data.trajectory(i)
        for seen, action in zip(one.observations, one.actions, strict=True):
            assert np.array_equal(seen, observation)
            observation, _, ended, _, _ = env.step(int(action))
        assert ended == one.terminated and np.array_equal(made.final_observations[i], observation)


def test_the_same_call_records_the_same_whatever_ran_before(agents):
    def prints(seed=0, **options):
        band = [agents["SAC"], "random", agents["SAC"]]
        return record(PENDULUM, band, 4, seed=seed, **options).dataset.provenance.fingerprint

    first = prints()
    np.random.rand(3)
    assert prints() == first != prints(seed=9)
    assert prints(deterministic=True) != first


def test_actions_are_kept_in_the_environments_units(agents):
    data = record(PENDULUM, ["random"], 2).dataset
    assert np.abs(data.actions).max() <= 1
    assert data.provenance.details["action_bounds"] == [[-2.0], [2.0]]
    assert not data.terminated.any() and data.lengths.tolist() == [12, 12]


def test_all_formats_hold_the_same_data(agents, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (tmp_path / "minari").mkdir()
    options = [CARTPOLE, "--agent", agents["DQN"], "--agent", "random", "--episodes", "4"]
    outs = [str(tmp_path / "a.hdf5"), str(tmp_path / "a.npz"), "mine/cartpole-v0"]
    for out in outs:
        main(["record", *options, "--out", out])
    said = capsys.readouterr().out
    assert "DQN" in said and f"wrote {outs[0]}" in said and "next: lpt-train" in said
    sets = [read_file(outs[0]), read_file(outs[1]), read_minari(outs[2])]
    assert len({data.provenance.fingerprint for data in sets}) == 1
    assert {data.provenance.env_id for data in sets} == {CARTPOLE}
    assert {data.num_actions for data in sets} == {2}
    assert main(["record", *options, "--out", outs[0]]) == 2
    assert "already exists" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agent", "none.zip"], "--agent none.zip: no such file; give a .zip"),
        (["--agent", __file__], "is no agent of stable-baselines3"),
        (["--agent", "{SAC}"], "was trained with observation_space .* the environment has"),
        (["--agent", "random", "--episodes", "0"], "--episodes 0 with 1 agents"),
        (["--agent", "random", "--out", "a.csv"], "--out a.csv: expected a file that ends in"),
    ],
)
def test_errors_are_one_line_before_any_work(
    arguments, message, agents, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    arguments = [argument.format(**agents) for argument in arguments]
    assert main(["record", CARTPOLE, "--out", "a.npz", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert re.search(message, line) and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("env_id", "message"),
    [("NoSuch-v0", "cannot make the environment"), ("Blackjack-v1", "expected a vector")],
)
def test_environments_that_cannot_be_learned_in_are_refused(env_id, message):
    with pytest.raises(ValueError, match=message):
        record(env_id, ["random"], 1)


def test_what_minari_cannot_store_is_refused_before_the_work(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    kind = type(gymnasium.make(CARTPOLE).unwrapped)
    gymnasium.register("Callable-v0", kind, max_episode_steps=9)
    record = ["record", "Callable-v0", "--agent", "random", "--out", "mine/callable-v0"]
    assert main(record) == 2
    told = "registered with a class: register it with 'module:Cart"
    assert told in capsys.readouterr().err
    del gymnasium.registry["Callable-v0"]
