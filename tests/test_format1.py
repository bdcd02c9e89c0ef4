"""What version 0.1 has written is read, acted with and gone on with.

`format1/` holds a run stopped after update 5 of 6, its data, the weights that version 0.1 ended
with, and one of its result files.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file

from lpt.checkpoint import PolicyMetadata, upgrade
from lpt.checkpoint.files import load_policy_files, load_training_state
from lpt.cli.eval import main as lpt_eval
from lpt.config import Config, changes, read_config, to_tree
from lpt.config.command_line import parse
from lpt.evaluation import LPTPolicy
from lpt.reporting.results import read_result, read_results
from lpt.training import Trainer, resume

pytestmark = pytest.mark.usefixtures("short_episodes")
STORED = Path(__file__).with_name("format1")
RUN, DATA = STORED / "run", STORED / "umaze.npz"
CHECKPOINT = RUN / "checkpoints" / "00000005"


@pytest.fixture
def run(tmp_path) -> Path:
    """A copy of the run, to go on with."""
    return shutil.copytree(RUN, tmp_path / "run")


def test_its_metadata_are_those_of_today():
    metadata = LPTPolicy.load(RUN).metadata
    config = metadata.config
    assert isinstance(config, Config)
    assert (config.engine, config.task, config.updates) == ("langevin-paper", "maze2d-umaze", 6)
    assert (config.source, config.out, config.model.width) == ("umaze.npz", Path("stopped"), 8)
    assert metadata.updates == 5 and metadata.versions["lpt-toolkit"] == "0.1.0"
    assert metadata.return_quantiles.q90 == 203.0 and metadata.return_quantiles.maximum == 300.0
    again = PolicyMetadata.from_dict(json.loads(json.dumps(metadata.to_dict())))
    assert again == metadata  # and it is written as format 2
    assert metadata.to_dict()["format"] == 2


def test_its_policy_plans_and_acts():
    policy = LPTPolicy.load(RUN)
    plan = policy.plan(n=2)
    assert plan.z.shape[:2] == (2, 2) and np.isfinite(policy.predicted_returns(plan)).all()
    actions, state = policy.predict(np.zeros((2, 4)), policy.begin(plan.z))
    again, _ = policy.predict(np.ones((2, 4)), state)
    assert np.abs(actions).max() <= 1 and not np.array_equal(actions, again)
    assert lpt_eval([str(RUN), "--episodes", "1"]) == 0


def test_its_configuration_is_read_and_run_again():
    config = read_config(RUN / "config.yaml")
    assert config == load_policy_files(RUN)[1].config
    old = yaml.safe_load((RUN / "config.yaml").read_text())
    kept = {key: value for key, value in old.items() if key in to_tree(config)}
    assert set(changes(kept, to_tree(config))) == {
        *("task", "source", "engine", "updates"),  # renamed
        "sampler.spread",  # gone
        *("dataset.held_steps", "dataset.rest"),  # new, as the next
        *("sampler.label_tilt", "sampler.counted_steps"),
        *("model.inputs", "model.frequencies", "model.frequency_dims"),
        *("training.observation_noise_raw", "training.cuda_graph", "preset", "track"),
        *("sampler.stratified", "dataset.arrival_steps"),
        *(f"posterior.{name}" for name in ("trajectories", "segments", "segment_steps", "warmup")),
    }
    assert parse(["--config", str(RUN / "config.yaml"), "--seed", "2"]).seed == 2


def test_it_is_resumed_and_ends_as_version_0_1_ended_it(run):
    resumed = resume(run, source=str(DATA))
    assert resumed.trainer.updates == 5 and resumed.best_updates == 3
    visits = resumed.trainer.inference.engine.chains.visits
    assert int(visits.sum()) == 5 * 8
    resumed.train()
    resumed.finish()
    weights, metadata = load_policy_files(run)
    assert metadata.updates == 6
    finished = upgrade.weights(load_file(STORED / "finished.safetensors"))
    assert weights.keys() == finished.keys()
    exact = torch.backends.cpu.get_cpu_capability() == "AVX2"
    tolerance = 0.0 if exact else 1e-4
    for name, tensor in finished.items():
        torch.testing.assert_close(weights[name], tensor, rtol=tolerance, atol=tolerance, msg=name)
    (result,) = {r["updates"] for r in read_results(run / "results")}
    assert result == 6


def test_a_resumed_run_keeps_the_curve_that_version_0_1_drew(run):
    curve = run / "evaluations.jsonl"
    curve.write_text('{"step": 3, "returns": [1.0]}\n{"step": 6, "returns": [2.0]}\n{"step": 6, "r')
    resume(run, source=str(DATA))
    assert curve.read_text() == '{"step": 3, "returns": [1.0]}\n'


def test_its_results_are_read():
    record = read_result(STORED / "result.json")
    assert record["updates"] == 6 and "steps" not in record
    assert record["last"]["returns"] and record["algorithm"] == "lpt"


def test_remembered_plans_have_another_name(make_policy_model, make_metadata, tmp_path):
    model = make_policy_model(remembered_plans=8)
    model.remembered.add(torch.randn(5, *model.plan_shape))
    new = model.state_dict()
    assert {"remembered.plans", "remembered.count"} <= set(new)
    names = {"remembered.plans": "remembered", "remembered.count": "remembered_count"}
    old = {names.get(name, name): tensor for name, tensor in new.items()}
    upgraded = upgrade.weights(old)
    assert upgraded.keys() == new.keys()
    assert all(torch.equal(upgraded[name], tensor) for name, tensor in new.items())
    other = make_policy_model(seed=1, remembered_plans=8)
    other.load_state_dict(upgraded)
    assert torch.equal(other.remembered.draws(), model.remembered.draws())
    training = {f"model.{name}": tensor for name, tensor in old.items()}
    training |= {f"average.module.{name}": tensor for name, tensor in old.items()}
    tensors, _ = upgrade.training_state(training, {"step": 1})
    assert set(tensors) == {
        f"{place}.{name}" for place in ("model", "average.module") for name in new
    }


def test_what_is_of_format_2_is_left_alone():
    tensors, values = load_training_state(RUN)
    assert values["updates"] == 5 and "engine.chains.states" in tensors
    again = upgrade.training_state(tensors, values)
    assert again[0] is tensors and again[1] is values


def as_format_1(tensors, values, unused):
    """A trainer's state as version 0.1 stored it, whose engines all had chains and the like."""
    old = {
        "chains.index": torch.arange(unused),
        "chains.states": torch.zeros(unused, 2, 8),
        "chains.visits": torch.zeros(unused, dtype=torch.int32),
        "preconditioner": torch.zeros(2, 8),
    }
    for name, tensor in tensors.items():
        name = name.replace("engine.proposal.", "posterior.proposal.")
        name = name.replace("engine.preconditioner.mean_square", "preconditioner")
        old[name.replace("engine.chains.", "chains.")] = tensor
    count = int(old.pop("engine.preconditioner.updates", 0))
    values = {key: value for key, value in values.items() if key != "updates"}
    return old, {**values, "step": 2, "preconditioner_updates": count}


@pytest.mark.parametrize("engine", ["amortized", "langevin-paper", "preconditioned", "variational"])
@pytest.mark.parametrize("unused", [0, 24])
def test_every_engines_state_is_taken_up(
    engine, unused, make_config, dataset, train, through_files, assert_same_state
):
    """Engines without chains had none in version 0.1, and one a trajectory before it."""
    config = make_config(engine=engine)
    trainer = train(config, dataset, 2)
    tensors, values = through_files(trainer)
    old, old_values = as_format_1(tensors, values, unused)
    if unused:
        del old_values["trajectories"]  # nor did the first checkpoints say how many there are
    resumed = Trainer(config, dataset, torch.device("cpu"))
    resumed.load_state(*upgrade.training_state(old, old_values))
    for one in (trainer, resumed):
        one.update()
    assert_same_state(trainer, resumed)
