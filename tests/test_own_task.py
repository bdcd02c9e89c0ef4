"""A task of one's own: nothing about it has to be said that its data and environment tell."""

import json

import gymnasium
import numpy as np
import pytest
from helpers.policies import Corridor

from lpt.cli.eval import main as lpt_eval
from lpt.config import read_config
from lpt.evaluation import LPTPolicy

CORRIDOR = "OwnCorridor-v0"
SMALL = """--updates 3 --model.width 8 --model.heads 2 --model.layers 1 --model.context 3
--model.prior-width 0 --proposal.width 16 --proposal.layers 1 --proposal.heads 2 --planning.steps 3
--evaluation.episodes 2 --training.evaluate-every 0 --sampler.segments 2""".split()


@pytest.fixture(autouse=True, scope="module")
def _registered():
    gymnasium.register(CORRIDOR, Corridor, max_episode_steps=30, kwargs={"discrete": True})
    yield
    del gymnasium.registry[CORRIDOR]


@pytest.fixture
def five(tmp_path, monkeypatch):
    """Five trajectories of four steps with discrete actions, in the working folder."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    steps = {"rewards": np.ones(20), "terminals": np.arange(20) % 4 == 3, "timeouts": np.zeros(20)}
    numbers = {"observations": rng.normal(size=(20, 4)), "actions": np.arange(20) % 3}
    np.savez("mine.npz", **numbers, **steps)
    return tmp_path


def test_actions_batch_and_horizon_follow_from_data_and_environment(five, capsys, lpt_train):
    asked = ["--env", "mine", "--source", "mine.npz", "--env-id", CORRIDOR, *SMALL]
    assert lpt_train(asked) == 0
    said = capsys.readouterr().out
    assert sum(line.startswith("settings: plain") for line in said.splitlines()) == 1
    assert "a batch is all 5 trajectories there are, 26 segments of each" in said
    run = five / "runs" / "mine" / "langevin-seed0"
    config = read_config(run / "config.yaml")
    assert (config.preset, config.sampler.batch_trajectories) == ("plain", 5)
    policy = LPTPolicy.load(run)
    assert policy.spaces.discrete and policy.spaces.action_dim == 3
    assert policy.metadata.provenance["details"]["horizon"] == 30
    assert lpt_eval([str(run), "--episodes", "2"]) == 0
    assert lpt_train(["--resume", str(run)]) == 0
    assert "settings: plain" not in capsys.readouterr().out


def test_results_carry_the_tasks_own_name_whatever_the_preset(five, capsys, lpt_train):
    asked = ["--env", "mine", "--source", "mine.npz", "--env-id", CORRIDOR, "--preset", "mujoco"]
    assert lpt_train([*asked, *SMALL]) == 0
    assert "settings: plain" not in capsys.readouterr().out
    results = list((five / "runs" / "mine" / "amortized-seed0" / "results").rglob("seed0.json"))
    assert {path.parts[-3] for path in results} == {"mine"}
    record = json.loads(results[0].read_text())
    assert (record["task"], record["config"]["preset"]) == ("mine", "mujoco")


def test_a_versions_results_lie_with_those_of_the_task(umaze, tmp_path, monkeypatch, lpt_train):
    monkeypatch.chdir(tmp_path)
    asked = ["--env", "maze2d-umaze-v1", "--source", str(umaze), "--evaluation.parallel", "2"]
    assert (
        lpt_train([*asked, *SMALL, "--model.prior-multipliers", "1", "--model.context", "1"]) == 0
    )
    assert LPTPolicy.load("runs/maze2d-umaze/langevin-seed0").metadata.task == "maze2d-umaze"
