"""Runs that go on for longer, and runs that begin with another's weights."""

import json

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lpt.cli.info import main as lpt_info
from lpt.config.command_line import Extend, parse, parse_config
from lpt.evaluation import LPTPolicy
from lpt.training.opening import start

pytestmark = pytest.mark.usefixtures("short_episodes")


@pytest.fixture(scope="module")
def finished(short_episodes, umaze, flags, lpt_train, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    assert lpt_train(flags(umaze, out, 20)) == 0
    return out


@pytest.fixture(scope="module")
def extended(finished, lpt_train):
    assert lpt_train(["--extend", str(finished), "--steps", "10"]) == 0
    return finished


def test_an_extended_run_is_longer_and_its_curves_go_on(extended):
    metadata = LPTPolicy.load(extended).metadata
    assert metadata.updates == metadata.config.updates == 30
    events = EventAccumulator(str(extended))
    events.Reload()
    assert [point.step for point in events.Scalars("loss/total")] == [10, 20, 30]
    rates = {p.step: p.value for p in events.Scalars("optim/learning_rate")}
    assert rates[30] < rates[20] * 2 and rates[30] > 0
    results = list((extended / "results" / "maze2d-umaze" / "lpt").iterdir())
    assert {path.name for path in results} == {"seed0.json", "previous-1-seed0.json"}
    new = json.loads((extended / "results" / "maze2d-umaze" / "lpt" / "seed0.json").read_text())
    assert new["updates"] == 30


def test_an_extended_run_is_resumed_to_its_new_end(extended, lpt_train, capsys):
    assert lpt_train(["--resume", str(extended)]) == 0
    assert "at update 30" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--extend"], "--extend has no value: give a run's folder"),
        (["--extend", "{run}", "--steps", "0"], "--steps 0: a run is extended by at least one"),
        (["--extend", "{run}", "--steps", "5", "--seed", "1"], "leave out --seed"),
        (["--extend", "none", "--steps", "5"], "no run at none"),
    ],
)
def test_extending_refuses_what_it_cannot_do(arguments, message, finished, lpt_train, capsys):
    assert lpt_train([word.format(run=finished) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and "\n" not in error.strip()


def test_steps_and_updates_are_one_flag_of_extend(capsys):
    for flag in ("--steps", "--updates"):
        asked = parse(["--extend", "runs/mine", flag, "7"])
        assert isinstance(asked, Extend) and asked.steps == 7
    assert not capsys.readouterr().err


def test_a_run_begins_with_anothers_weights_and_proposal(finished, umaze, tmp_path, flags):
    lines = []
    asked = [*flags(umaze, tmp_path / "run", 3), "--init-from", str(finished), "--seed", "5"]
    run = start(parse_config(asked), log=lines.append)
    want = LPTPolicy.load(finished).model.state_dict()
    for model in (run.trainer.model, run.trainer.policy_model):
        assert all(torch.equal(tensor, want[name]) for name, tensor in model.state_dict().items())
    other = start(parse_config([*asked[:-4], "--out", str(tmp_path / "other")]), log=lines.append)
    ours, random = (
        torch.cat([p.flatten() for p in r.trainer.inference.parameters()]) for r in (run, other)
    )
    assert not torch.equal(ours, random)
    assert sum(f"weights from {finished}, maze2d-umaze after" in line for line in lines) == 1
    assert not any("its data were others" in line for line in lines)


def test_other_data_are_told(finished, make_data, tmp_path, flags):
    lines = []
    data = make_data(tmp_path / "other.npz", seed=1, steps=3000)
    asked = [*flags(data, tmp_path / "run", 3), "--init-from", str(finished)]
    start(parse_config(asked), log=lines.append)
    assert any("its data were others" in line for line in lines)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--model.width", "16"], "is of another model: pass --model.width 8"),
        (["--algorithm", "bc"], "is a run of --algorithm lpt, this one is of bc"),
    ],
)
def test_weights_of_another_model_are_refused_with_the_flags_that_fit(
    more, message, finished, umaze, tmp_path, flags, lpt_train, capsys
):
    asked = [*flags(umaze, tmp_path / "run", 3), "--init-from", str(finished), *more]
    assert lpt_train(asked) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


def test_info_tells_what_a_run_is_and_what_is_next(extended, capsys):
    assert lpt_info([str(extended)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("updates 30 of 30", "maze2d-umaze (settings: maze2d-umaze)", "result lpt-ei"):
        assert words in said
    assert f"next lpt-eval {extended}" in said


def test_info_tells_versions_devices_and_folders(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("LPT_DATA_DIR", str(tmp_path))
    assert lpt_info([]) == 0
    said = capsys.readouterr().out
    assert "lpt-toolkit" in said and "CPUs" in said and str(tmp_path) in said


def test_info_of_nothing_is_a_users_error(tmp_path, capsys):
    assert lpt_info([str(tmp_path)]) == 2
    assert "has no checkpoint" in capsys.readouterr().err
