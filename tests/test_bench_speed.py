"""lpt-bench speed: what it measures and writes, alone and beside adapters."""

import io
import json
from contextlib import redirect_stdout
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from lpt.bench.amounts import Amounts
from lpt.bench.breakdown import count_flops, split_update
from lpt.bench.contenders import Adapter, Toolkit, find_adapter
from lpt.bench.problem import Shapes, draw_trajectories, random_steps
from lpt.bench.profiling import profile_update
from lpt.bench.shares import evaluated_episodes
from lpt.cli.bench import main
from lpt.training.trainer import Trainer

CPU = torch.device("cpu")
SMALL = "--rows 9000 --repeats 2 --seconds 0 --episodes 3 --rollout-steps 4".split()
TOY = """
import numpy as np

def build(shapes):
    return shapes

def train_step(shapes, batch):
    assert batch.observations.shape == (8, 1000, 11) and batch.actions.shape == (8, 1000, 3)
    assert batch.returns_to_go[:, -1].equal(batch.rewards[:, -1])
    return 7

def act(shapes, observations):
    return np.zeros((len(observations), shapes.action_dim), np.float32)
"""


def shapes(discrete: bool = False) -> Shapes:
    sizes = dict(observation_dim=4, action_dim=3, horizon=30, trajectories=6, context=4)
    model = dict(segments=2, segment_steps=5, layers=1, heads=2, width=8)
    return Shapes(task="t", discrete=discrete, device=torch.device("cpu"), **sizes, **model)


@pytest.fixture(scope="module")
def measured(tmp_path_factory, sizes):
    """The record of a small measurement beside a toy, and what was printed."""
    folder = tmp_path_factory.mktemp("speed")
    (folder / "toy.py").write_text(TOY)
    out = folder / "speed.json"
    command = [
        "speed",
        *SMALL,
        "--profile",
        "--against",
        str(folder / "toy.py"),
        "--out",
        str(out),
        *sizes,
    ]
    with redirect_stdout(io.StringIO()) as printed:
        assert main(command) == 0
    return json.loads(out.read_text()), printed.getvalue()


def is_summary(found, repeats: int = 2) -> bool:
    values = found["values"]
    return len(values) == repeats and 0 < found["low"] <= found["median"] <= found["high"]


def test_the_record_holds_every_measurement_with_its_spread(measured):
    record, _ = measured
    lpt = record["contenders"]["lpt"]
    assert all(is_summary(found) for found in lpt["training"].values())
    assert lpt["training"]["transitions_per_update"]["high"] <= 8 * 2 * 6  # trajectories, M, c
    assert set(lpt["planning_ms"]) == {"1", "3"}
    assert all(is_summary(found) for found in lpt["planning_ms"].values())
    assert set(lpt["rollout"]) == {"steps_per_second", "policy_ms", "environment_ms"}
    assert all(is_summary(found) for found in lpt["rollout"].values())
    assert set(record["split_ms"]) == {"data", "posterior", "learning"}
    assert all(is_summary(found) for found in record["split_ms"].values())
    assert is_summary(record["loading"]["seconds"]) and record["loading"]["steps"] == 9000
    flops = record["flops"]
    assert flops["per_update"] > 0 and 0 < flops["roofline_share"] < 1
    assert is_summary(flops["matrix_peak"]["flops"])
    assert record["peak_memory"]["training"]["resident_mib"] > 10


def test_a_whole_run_is_divided(measured):
    record, printed = measured
    run, seconds = record["run"], record["run"]["seconds"]
    assert set(seconds) == {"start", "updates", "evaluations"} and min(seconds.values()) > 0
    assert sum(run["shares"].values()) == pytest.approx(1)
    assert seconds["updates"] == pytest.approx(
        record["config"]["updates"]
        * record["contenders"]["lpt"]["training"]["update_ms"]["median"]
        / 1000
    )
    assert is_summary(run["imports"]) and "a whole run's start" in printed


def test_a_profile_lists_parts_and_kernels(measured):
    record, printed = measured
    found = record["profile"]
    assert {"data", "posterior", "likelihood", "optimizer"} <= set(found["parts"])
    assert all(ms > 0 for ms in found["parts"].values())
    assert sum(row["share"] for row in found["kernels"]) == pytest.approx(1)
    times = [row["ms"] for row in found["kernels"][:-1]]  # the last are all others
    assert times == sorted(times, reverse=True) and times[-1] > 0
    assert "part of an update" in printed and "aten::" in printed


def test_evaluations_of_a_run_are_counted(make_config):
    training = {"evaluate_every": 30, "evaluate_episodes": 7}
    config = make_config(updates=100, training=training)
    config = replace(config, evaluation=replace(config.evaluation, episodes=10))
    leaning = replace(config, planning=replace(config.planning, weight=4))
    assert evaluated_episodes(config) == 3 * 7 + 2 * 10
    assert evaluated_episodes(leaning) == 3 * 7 + 4 * 10  # as LPT and as LPT-EI
    never = replace(leaning, training=replace(leaning.training, evaluate_every=0))
    assert evaluated_episodes(never) == 2 * 10


@pytest.mark.parametrize("segments", [2, 0])
def test_an_update_with_langevin_steps_is_counted(segments, make_config, dataset, monkeypatch):
    """Its energy's gradient is asked of the plans alone, and each step is work."""
    peak = {"flops": {"median": 1.0}}
    monkeypatch.setattr("lpt.bench.breakdown.matrix_peak", lambda *arguments: peak)
    few, cpu, counts = Amounts(repeats=1, seconds=0), torch.device("cpu"), []
    for steps in (1, 4):
        config = make_config(
            engine="langevin-paper", posterior={"steps": steps}, sampler={"segments": segments}
        )
        run = SimpleNamespace(config=config, trainer=Trainer(config, dataset, cpu))
        counts.append(count_flops(run, 1.0, few)["per_update"])
    one, four = counts
    # A visit is a forward pass and half of a backward one, learning a forward and a whole one.
    assert 1.8 < four / one < 2.6


def test_the_record_says_what_its_figures_depend_on(measured):
    record, _ = measured
    assert record["preset"] == "hopper-medium" and record["versions"]["torch"]
    assert record["machine"]["threads"] == 1 and record["machine"]["cpu"]
    assert record["amounts"] == {
        "repeats": 2,
        "seconds": 0,
        "rows": 9000,
        "episodes": 3,
        "rollout_steps": 4,
    }
    assert record["shapes"]["observation_dim"] == 11 and record["shapes"]["horizon"] == 1000
    assert record["config"]["model"]["width"] == 8 and record["config"]["out"] is None
    assert "scores" in record["counting"]


def test_an_adapter_is_measured_and_compared_and_what_it_lacks_is_blank(measured):
    record, printed = measured
    lpt, toy = record["contenders"]["lpt"], record["contenders"]["toy"]
    assert toy["training"]["transitions_per_update"]["values"] == [7, 7]
    assert toy["planning_ms"] == {"1": None, "3": None}
    ratio = record["ratios"]["toy"]
    rates = [c["training"]["transitions_per_second"]["median"] for c in (lpt, toy)]
    assert ratio["training"] == pytest.approx(rates[0] / rates[1])
    rates = [c["rollout"]["steps_per_second"]["median"] for c in (lpt, toy)]
    assert ratio["rollout"] == pytest.approx(rates[0] / rates[1])
    assert ratio["planning_1"] is None
    assert "training: lpt, toy" in printed and "lpt / toy" in printed


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import nothing_there", "importing it raised ModuleNotFoundError (line 1)"),
        ("x = 1", "has no function build"),
        ("def build(shapes):\n    return 1 / 0", "build raised ZeroDivisionError (line 2)"),
        (
            "def build(s): ...\ndef train_step(b, batch):\n    return None",
            "train_step returned None",
        ),
        ("def build(s): ...\ndef plan(b, n):\n    raise KeyError(n)", "plan raised KeyError"),
        (
            "def build(s): ...\ndef act(b, o):\n    return o",
            "act returned actions of shape (2, 11)",
        ),
    ],
)
def test_a_broken_adapter_is_named_before_anything_is_measured(
    code, message, tmp_path, capsys, sizes
):
    path = tmp_path / "broken.py"
    path.write_text(code)
    assert main(["speed", *SMALL, "--against", str(path), *sizes]) == 2
    error = capsys.readouterr().err
    assert f"adapter {path}" in error and message in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--against", "my_adapter"], "decision-transformer"),
        (["--rows", "500"], "give at least 8000"),
        (["--preset", "hoper-medium"], "no preset"),
        (["--source", "my.npz"], "random data"),
    ],
)
def test_mistakes_are_told_at_once(arguments, message, capsys, sizes):
    assert main(["speed", *SMALL, *sizes, *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_file_that_is_there_is_kept(tmp_path, capsys, sizes):
    out = tmp_path / "speed.json"
    out.write_text("{}")
    assert main(["speed", *SMALL, "--out", str(out), *sizes]) == 2
    assert "--overwrite" in capsys.readouterr().err and out.read_text() == "{}"


def test_random_data_are_whole_trajectories():
    steps = random_steps(shapes(), 200)
    assert steps["observations"].shape == (180, 4) and np.abs(steps["actions"]).max() <= 1
    assert np.flatnonzero(steps["timeouts"]).tolist() == list(range(29, 180, 30))
    batch = draw_trajectories(shapes(), steps, 0)
    assert batch.returns_to_go[:, 0].numpy() == pytest.approx(
        batch.rewards.sum(1).numpy(), abs=1e-4
    )


def test_measuring_the_split_leaves_the_trainer_as_it_was(make_config, dataset):
    trainer = Trainer(make_config(engine="langevin-paper"), dataset, torch.device("cpu"))
    split_update(trainer, Amounts(repeats=1, seconds=0))
    assert "to_infer" not in vars(trainer.batches) and "infer" not in vars(trainer.inference)
    assert trainer.updates == 1


def test_a_profile_leaves_the_trainer_as_it_was(make_config, dataset):
    trainer = Trainer(make_config(engine="amortized"), dataset, torch.device("cpu"))
    scored = trainer._learning_log_actions
    profile_update(trainer, 1)
    assert trainer._learning_log_actions == scored and trainer.updates == 2
    assert not {"infer", "to_infer"} & (vars(trainer).keys() | vars(trainer.batches).keys())


def test_the_split_counts_batches_of_chains_and_of_parameters(make_config, dataset):
    posterior = {"trajectories": 4, "segments": 3, "warmup": 1}
    trainer = Trainer(make_config(engine="langevin", posterior=posterior), dataset, CPU)
    drawn, draw = [], trainer.batches.to_learn
    trainer.batches.to_learn = lambda updates: drawn.append(updates) or draw(updates)
    split = split_update(trainer, Amounts(repeats=3, seconds=0))
    assert drawn == [0, 1, 2] and all(is_summary(found, 3) for found in split.values())


def test_a_rollout_makes_its_plans_before_its_first_step(make_policy, monkeypatch):
    """As an evaluation does: an episode that begins anew within it goes on with its plan."""
    policy, planned = make_policy(), []
    toolkit = Toolkit.__new__(Toolkit)
    toolkit.policy, toolkit.device = policy, CPU
    plan = policy.plan
    monkeypatch.setattr(
        policy, "plan", lambda *a, n=1, **b: planned.append(n) or plan(*a, n=n, **b)
    )
    toolkit.reset(3)
    policy.model.train()
    with toolkit.acting():
        assert not policy.model.training
        for start in (False, False, True):
            starts = np.array([start, False, False])
            toolkit.act(np.zeros((3, 4), np.float32), starts)
    assert planned == [3] and toolkit._state.cache.age.tolist() == [1, 3, 3]


@pytest.mark.parametrize("discrete", [False, True])
def test_the_decision_transformer_trains_and_acts(discrete):
    pytest.importorskip("transformers")
    sizes = shapes(discrete)
    adapter = Adapter(find_adapter("decision-transformer"), sizes, lambda: None)
    adapter.try_out([draw_trajectories(sizes, random_steps(sizes, 180), 0)])
    assert adapter.train_step() == 6 * 2 * 20  # trajectories, segments, K
    adapter.reset(3)
    for _ in range(22):  # past its context
        actions = adapter.act(np.ones((3, 4), np.float32))
    assert actions.shape == ((3,) if discrete else (3, 3))
    assert not adapter.can("plan")
