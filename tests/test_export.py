"""Exported policies: an episode in onnxruntime and in torch.export is the policy's own."""

import json

import numpy as np
import onnxruntime
import pytest
import torch
from helpers.policies import model_tree

from lpt.algorithms import find_algorithm
from lpt.checkpoint.files import save_policy
from lpt.cli.export import main
from lpt.data.action_bounds import ActionBounds
from lpt.evaluation import LPTPolicy
from lpt.export import export_policy
from lpt.model import GoalTransformer

pytestmark = pytest.mark.filterwarnings("ignore")  # exporters warn of their own future

KINDS = {
    "history": {"bounds": True},
    "one step": {"model": {"context": 1, "inputs": "states", "likelihood": "censored"}},
    "discrete": {"discrete": True, "model": {"context": 4}},
}


@pytest.fixture(scope="module", params=KINDS)
def exported(request, tmp_path_factory, make_policy):
    """A policy and the folder that it was exported to."""
    kind = dict(KINDS[request.param])
    bounds = kind.pop("bounds", False)
    policy = make_policy(**kind)
    if bounds:
        policy.action_bounds = ActionBounds(np.float32([-2, 0]), np.float32([2, 1]))
    folder = tmp_path_factory.mktemp("exported") / "policy"
    return policy, export_policy(policy, folder, target=30.0, plans=3)


def session(path):
    """A file as a function of named arrays."""
    runtime = onnxruntime.InferenceSession(path)
    names = [output.name for output in runtime.get_outputs()]
    return lambda inputs: dict(zip(names, runtime.run(None, inputs), strict=True))


def own_actions(policy, z, observations):
    """What the policy itself does."""
    state, found = policy.begin(torch.from_numpy(z)), []
    for observation in observations:
        action, state = policy.predict(observation, state, deterministic=True)
        found.append(action)
    return np.array(found)


@pytest.fixture(scope="module")
def observations():
    """12 steps of an episode, of 3 side by side."""
    return np.random.default_rng(0).normal(size=(12, 3, 4)).astype(np.float32)


def test_an_episode_in_onnxruntime_is_the_policys(exported, observations):
    policy, folder = exported
    z = np.load(folder / "plans.npz")["z"]
    state, step = session(folder / "begin.onnx")({"z": z}), session(folder / "step.onnx")
    found = []
    for observation in observations:
        after = step({"observation": observation, **state})
        found.append(after["action"])
        state |= {k.removeprefix("next_"): v for k, v in after.items() if k.startswith("next_")}
    own = own_actions(policy, z, observations)
    assert np.ptp(own) > 0 and np.abs(np.array(found) - own).max() <= 1e-4


def test_an_episode_in_torch_export_is_the_policys(exported, observations):
    policy, folder = exported
    z = np.load(folder / "plans.npz")["z"][:1]
    names = json.loads((folder / "export.json").read_text())["networks"]
    step = torch.export.load(folder / "step.pt2").module()
    entries = torch.export.load(folder / "begin.pt2").module()(torch.from_numpy(z))
    state = dict(zip(names["begin"]["outputs"], entries, strict=True))
    found = []
    for observation in observations[:, :1]:
        outputs = step(torch.from_numpy(observation), *state.values())
        after = dict(zip(names["step"]["outputs"], outputs, strict=True))
        found.append(after["action"].detach().numpy())
        state |= {k.removeprefix("next_"): v for k, v in after.items() if k.startswith("next_")}
    own = own_actions(policy, z, observations[:, :1])
    assert np.abs(np.array(found) - own).max() <= 1e-4


def test_prior_and_return_predictor_are_the_policys(exported):
    _, folder = exported
    plans = np.load(folder / "plans.npz")
    z = session(folder / "prior.onnx")({"z0": plans["z0"]})["z"]
    np.testing.assert_allclose(z, plans["z"], atol=1e-4)
    predicted = session(folder / "return.onnx")({"z": z})["return"]
    np.testing.assert_allclose(predicted, plans["predicted_return"], rtol=1e-4, atol=1e-3)


def test_a_state_holds_only_what_the_model_reads(exported):
    policy, folder = exported
    names = json.loads((folder / "export.json").read_text())["networks"]["begin"]["outputs"]
    plain = policy.model.config.context == 1
    assert (names == ["plan_keys", "plan_values"]) == plain


@pytest.mark.parametrize("name", ["dt-final", "goal"])
def test_a_baseline_exports_its_prompt(tmp_path, make_policy, make_metadata, name):
    model = make_policy().model
    prompted = find_algorithm(name).build(model.config, model.spaces).eval()
    if isinstance(prompted, GoalTransformer):
        prompted.known_ends.learn(torch.randn(40, model.spaces.observation_dim), torch.randn(40))
    policy = LPTPolicy(prompted, make_metadata(algorithm=name))
    folder = export_policy(policy, tmp_path / "dt", target=30.0, plans=2)
    prompt = session(folder / "prompt.onnx")({"target": np.float32([30.0, 30.0])})["z"]
    np.testing.assert_allclose(prompt, np.load(folder / "plans.npz")["z"], atol=1e-5)


def test_the_command_says_what_is_wrong_and_keeps_what_is_there(
    tmp_path, make_metadata, make_policy_model, capsys
):
    model = make_policy_model()
    metadata = make_metadata(config=model_tree(model))
    policy = save_policy(tmp_path / "policy", model.state_dict(), metadata)
    assert main([str(policy)]) == 2
    assert "--out" in capsys.readouterr().err
    (tmp_path / "there").mkdir()
    assert main([str(policy), "--out", str(tmp_path / "there"), "--overwrite"]) == 2
    assert "export.json" in capsys.readouterr().err
    assert main([str(policy), "--out", str(tmp_path / "out"), "--plans", "0"]) == 2
    assert "plans=0" in capsys.readouterr().err and not (tmp_path / "out").exists()
