"""Data regenerated from saved actors, in the real simulator."""

import importlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import gymnasium as gym
import mujoco
import numpy as np
import pytest
import torch
from stable_baselines3 import SAC

from lpt.data.tasks import TASKS
from lpt_envs.making import _without, make_env
from lpt_envs.mujoco import workers
from lpt_envs.mujoco.actors import LAYERS, Actor, actor_path, pack_actors, read_actors
from lpt_envs.mujoco.recipes import (
    MEDIUM_RETURN,
    RECIPES,
    ROBOTS,
    actor_return,
    generate,
    has_recipe,
    replay_schedule,
)
from lpt_envs.mujoco.streams import KEYS, Stream
from lpt_envs.mujoco.workers import run_streams

SCRIPTS = Path(__file__).parents[2] / "scripts"
HOPPER = str(actor_path("hopper"))


def hopper(*schedule: tuple[int, int], index: int = 0, env_id: str = "Hopper-v4") -> Stream:
    return Stream(env_id=env_id, actors=HOPPER, schedule=schedule, seed=3, index=index)


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return all(np.array_equal(one[key], other[key]) for key in KEYS)


@pytest.fixture
def own_actors(tmp_path, monkeypatch) -> Path:
    """A folder of one's own with a hopper that has an expert."""
    file = read_actors(HOPPER)
    layers = {step: file.layers(step) for step in (10_000, 220_000)}
    path = tmp_path / "hopper.safetensors"
    named = {"warmup": 500, "medium": 10_000, "expert": 220_000}
    path.write_bytes(pack_actors("Hopper-v5", layers, **named))
    monkeypatch.setenv("LPT_BEHAVIOR_DIR", str(tmp_path))
    return path


def test_the_package_ships_small_actors_of_every_robot():
    files = [read_actors(actor_path(robot)) for robot in ROBOTS]
    assert sum(file.path.stat().st_size for file in files) < 12e6
    for file in files:
        assert file.medium == file.steps[-1] and file.warmup == 5000 and file.expert is None
        assert file.layers(file.medium)["mean.weight"].dtype == np.float16


def test_an_actor_computes_the_stated_formula():
    layers = read_actors(HOPPER).layers(100_000)
    weights = {name: torch.from_numpy(value.astype(np.float32)) for name, value in layers.items()}
    values = torch.linspace(-1, 1, 11)
    for layer in LAYERS[:2]:
        values = torch.relu(weights[f"{layer}.weight"] @ values + weights[f"{layer}.bias"])
    mean, log_std = (weights[f"{n}.weight"] @ values + weights[f"{n}.bias"] for n in LAYERS[2:])
    actor, observation = Actor.from_layers(layers), np.linspace(-1, 1, 11, dtype=np.float32)
    found = actor.distribution(observation)
    np.testing.assert_allclose(found[0], mean.numpy(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], log_std.clamp(-20, 2).exp().numpy(), rtol=1e-4)
    noise = np.random.default_rng(0).standard_normal(3, np.float32)
    action = actor.sample(observation, np.random.default_rng(0))
    np.testing.assert_array_equal(action, np.tanh(found[0] + found[1] * noise))
    assert action.dtype == np.float32


def test_data_do_not_depend_on_the_number_of_processes():
    streams = [hopper((220_000, 300 + 50 * i), index=i) for i in range(3)]
    seen: list[tuple[int, int]] = []
    alone = run_streams(streams, 1, lambda *args: seen.append(args))
    assert seen[-1] == (1050, 1050)
    shared = run_streams(streams, 2, lambda *args: seen.append(args))
    assert equal(alone, shared) and seen[-1] == (1050, 1050)
    assert not equal(alone, run_streams([replace(s, seed=4) for s in streams], 1))
    firsts = [run_streams([stream], 1)["observations"][0] for stream in streams]
    assert not np.array_equal(firsts[0], firsts[1])


def test_a_failing_process_says_why():
    streams = [hopper((0, 1), env_id="No-v0", index=i) for i in range(2)]
    with pytest.raises(ChildProcessError, match="Environment `No` doesn't exist"):
        run_streams(streams, 2)
    with pytest.raises(ValueError, match="at least one"):
        run_streams(streams, 0)


def test_a_terminated_hopper_starts_again():
    arrays = run_streams([hopper((220_000, 800))], 1)
    ends = np.flatnonzero(arrays["terminals"])
    assert len(ends) >= 1 and ends[-1] == len(arrays["rewards"]) - 1
    assert not arrays["timeouts"].any()
    after, before = arrays["observations"][1:], arrays["next_observations"][:-1]
    same = (after == before).all(axis=1)
    assert np.array_equal(np.flatnonzero(~same), ends[:-1])
    assert (np.abs(after[ends[:-1]] - [1.25] + [0] * 11)[:, 0] < 0.02).all()  # height at a reset
    assert {key: array.dtype for key, array in arrays.items()} == {
        **dict.fromkeys(KEYS, np.float32),
        **dict.fromkeys(("terminals", "timeouts"), np.bool_),
    }


def test_medium_earns_what_the_actor_earns_and_times_out():
    made = TASKS["halfcheetah-medium"].make(steps=2000)
    arrays, provenance = made.arrays, made.provenance
    assert np.flatnonzero(arrays["timeouts"]).tolist() == [999, 1999]
    assert not arrays["terminals"].any()
    assert made.dataset.returns == pytest.approx([MEDIUM_RETURN["halfcheetah"]] * 2, abs=400)
    assert (provenance.source, provenance.id) == ("regenerated", "halfcheetah-medium")
    assert provenance.env_id == "HalfCheetah-v4"
    details = json.loads(json.dumps(provenance.details))
    assert details["actors"]["trained_in"] == "HalfCheetah-v5"
    assert details["actors"]["medium"] == 170_000 and details["recorded_in"] == "HalfCheetah-v4"


@pytest.mark.parametrize(
    ("robot", "low", "high"), [("hopper", 900, 1600), ("walker2d", 1500, 3800)]
)
def test_the_other_medium_actors_earn_about_what_they_should(robot, low, high):
    file = read_actors(actor_path(robot))
    assert file.medium is not None
    earned = actor_return(file, file.medium, TASKS[f"{robot}-medium"].env_id, steps=3000)
    assert low < earned.mean < high and earned.episodes >= 3


def test_a_replay_set_takes_the_actors_in_the_order_of_training():
    for robot, steps in (("halfcheetah", 202_000), ("hopper", 402_000), ("walker2d", 302_000)):
        file = read_actors(actor_path(robot))
        actors, counts = zip(*replay_schedule(file, steps), strict=True)
        assert actors == (0, *file.steps) and sum(counts) == steps
        stage = 10_000 * steps / file.steps[-1]
        assert counts[0] == pytest.approx(stage / 2, abs=1)  # 5,000 of 10,000 steps
        assert counts[1:-1] == pytest.approx([stage] * (len(counts) - 2), abs=1)
        assert counts[-1] == pytest.approx(stage / 2, abs=1)


def test_replay_data_are_one_run_that_gets_better():
    arrays = TASKS["halfcheetah-medium-replay"].make(steps=4000).arrays
    assert len(arrays["rewards"]) == 4000
    returns = arrays["rewards"].reshape(4, 1000).sum(axis=1)
    assert (np.diff(returns) > 0).all() and returns[0] < 500 < 4000 < returns[-1]
    warmup = arrays["actions"][:117]
    assert abs(warmup.mean()) < 0.1 and warmup.std() == pytest.approx(1 / np.sqrt(3), abs=0.05)


def test_short_replay_data_are_cut_at_the_number_of_rows():
    arrays = TASKS["hopper-medium-replay"].make(steps=333).arrays
    assert {len(array) for array in arrays.values()} == {333}


def test_making_environments_is_quiet(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for env_id in ("HalfCheetah-v4", "Hopper-v4", "Walker2d-v5"):
            env = make_env(env_id)
            env.reset(seed=0)
            env.close()
    assert not list(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


def test_other_warnings_of_mujoco_are_passed_on():
    body = "<worldbody><body><freejoint/><geom size='1'/></body></worldbody>"
    text = f"<mujoco><compiler settotalmass='14'/>{body}</mujoco>"
    with pytest.warns(UserWarning, match="settotalmass"), _without("something else"):
        mujoco.MjModel.from_xml_string(text)


def test_random_data_need_no_actor():
    made = TASKS["walker2d-random"].make(steps=1000)
    arrays, provenance = made.arrays, made.provenance
    assert arrays["actions"].std() == pytest.approx(1 / np.sqrt(3), abs=0.02)
    assert np.abs(arrays["actions"]).max() <= 1 and provenance.details["recipe"] == "random"


def test_experts_come_from_a_folder_of_ones_own(own_actors, monkeypatch):
    monkeypatch.setattr(workers, "processors", lambda: 1)
    assert all(has_recipe("hopper", recipe) for recipe in RECIPES)
    made = TASKS["hopper-medium-expert"].make(steps=1200)
    arrays, half = made.arrays, TASKS["hopper-medium"].make(steps=600).arrays
    assert made.provenance.details["actors"]["expert"] == 220_000
    assert np.array_equal(arrays["observations"][:600], half["observations"])
    ends = np.flatnonzero(arrays["terminals"] | arrays["timeouts"])
    returns = np.add.reduceat(arrays["rewards"], np.append(0, ends[:-1] + 1))
    assert returns[0] < 600 < returns[-1]  # the expert's are longer


def test_without_an_expert_the_mend_is_said():
    assert not has_recipe("hopper", "expert") and has_recipe("hopper", "medium-replay")
    assert not has_recipe("ant", "medium") and not has_recipe("maze2d", "umaze")
    assert not TASKS["hopper-expert"].generated
    with pytest.raises(FileNotFoundError, match=r"train_behavior.*LPT_BEHAVIOR_DIR.*--source d4rl"):
        TASKS["hopper-expert"].make(steps=10)
    with pytest.raises(ValueError, match="ant-medium has no recipe: expected one of halfcheetah"):
        generate("ant", "medium", 10, 0, "Ant-v4")
    with pytest.raises(ValueError, match="steps=0"):
        TASKS["hopper-medium"].make(steps=0)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file"):
        read_actors(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(ValueError, match="no file of SAC actors"):
        read_actors(tmp_path / "bad.safetensors")
    with pytest.raises(ValueError, match="no actor of step 5"):
        read_actors(HOPPER).actor(5)


def test_stable_baselines3_actors_are_read_as_they_act(monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    script = importlib.import_module("train_behavior")
    model = SAC("MlpPolicy", gym.make("Hopper-v5"), policy_kwargs={"net_arch": [256, 256]}, seed=0)
    observation = np.linspace(-1, 1, 11, dtype=np.float32)
    actor = Actor.from_layers(script.torch_layers(model))
    mean, std = actor.distribution(observation)
    wanted = model.actor.get_action_dist_params(torch.from_numpy(observation)[None])
    np.testing.assert_allclose(mean, wanted[0][0].detach(), atol=1e-5)
    np.testing.assert_allclose(std, wanted[1][0].detach().exp(), rtol=1e-4)
    assert np.tanh(mean) == pytest.approx(
        model.predict(observation, deterministic=True)[0], abs=1e-5
    )
