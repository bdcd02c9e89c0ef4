"""What a run refuses before it begins, and where it is evaluated."""

import json

import numpy as np
import pytest

from lpt.cli import data as lpt_data
from lpt.cli.eval import main as lpt_eval
from lpt.config.command_line import parse
from lpt.data import read_file
from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import evaluate
from lpt.reporting.figures import maze_of

pytestmark = pytest.mark.usefixtures("short_episodes")
U_TURN = "#####/#OOG#/#O###/#OOO#/#####"


@pytest.fixture(scope="module")
def finished(short_episodes, umaze, flags, lpt_train, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    assert lpt_train([*flags(umaze, out, 3)]) == 0
    return out


@pytest.mark.parametrize("kind", ["d4rl", "minari"])
def test_data_of_a_maze_of_ones_own_are_evaluated_in_it(
    kind, tmp_path, monkeypatch, capsys, flags, lpt_train
):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    (tmp_path / "minari").mkdir()
    file = str(tmp_path / "own.hdf5") if kind == "d4rl" else "lpt/own-v0"
    lpt_data.main(["make", U_TURN, "--steps", "3000", "--format", kind, "--out", file])
    out = tmp_path / "run"
    assert lpt_train([*flags(file, out, 3), "--evaluation.episodes", "1"]) == 0
    assert "not maze2d-umaze" in capsys.readouterr().out
    result = evaluate(LPTPolicy.load(out), episodes=1)
    assert result.env_id == "lpt_envs:lpt/Maze2D-v1" and result.score is None
    assert maze_of(result.env_id, **result.env_kwargs).text == U_TURN
    assert lpt_eval([str(out), "--episodes", "1", "--plot", str(tmp_path / "paths.png")]) == 0


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--env-id", "CartPole-v1"], "CartPole-v1 has actions"),
        (["--env-id", "nothing-v0"], "cannot make the environment"),
        (["--evaluation.target", "nan"], "target=nan"),
    ],
)
def test_what_no_evaluation_could_use_is_refused_at_once(
    more, message, umaze, tmp_path, capsys, flags, lpt_train
):
    assert lpt_train([*flags(umaze, tmp_path / "run", 3), *more]) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "run").exists()


@pytest.mark.parametrize("algorithm", ["bc-10", "dt"])
def test_a_baseline_with_data_of_its_own_runs_and_resumes(
    algorithm, umaze, tmp_path, capsys, flags, lpt_train
):
    asked = [*flags(umaze, tmp_path / "run", 3), "--algorithm", algorithm]
    assert lpt_train([*asked, "--sampler.batch-trajectories", "30"]) == 0
    assert lpt_eval([str(tmp_path / "run"), "--target", "5", "--episodes", "2"]) == 0
    policy = LPTPolicy.load(tmp_path / "run")
    assert policy.spaces.observation_dim == 4 + (algorithm == "dt")
    assert evaluate(policy, episodes=1, target=7.0).target == 7.0
    assert lpt_train(["--env", "maze2d-umaze", "--resume", str(tmp_path / "run")]) == 0
    assert "resumed" in capsys.readouterr().out


def test_discrete_data_where_continuous_are_configured(tmp_path, capsys, flags, lpt_train):
    file = tmp_path / "numbers.npz"
    steps = {"rewards": np.ones(40), "terminals": np.arange(40) % 4 == 3, "timeouts": np.zeros(40)}
    np.savez(file, observations=np.zeros((40, 4)), actions=np.arange(40) % 2, **steps)
    assert lpt_train(flags(file, tmp_path / "run", 3)) == 2
    error = capsys.readouterr().err
    assert "numbers.npz: field 'actions'" in error and "--model.likelihood categorical" in error


def test_resume_refuses_settings_that_it_would_not_heed(finished, capsys, lpt_train):
    assert lpt_train(["--resume", str(finished), "--updates", "9", "--model.width", "32"]) == 2
    assert "leave out --model.width, --updates" in capsys.readouterr().err
    assert parse(["--resume", str(finished), "--source", "there.npz"]).source == "there.npz"


def test_resume_finds_data_that_have_moved(umaze, tmp_path, flags, lpt_train):
    data, out, moved = tmp_path / "here.hdf5", tmp_path / "run", tmp_path / "there.hdf5"
    data.write_bytes(umaze.read_bytes())
    assert lpt_train([*flags(data, out, 3), "--device", "cpu"]) == 0
    data.rename(moved)
    assert lpt_train(["--resume", str(out)]) == 2
    assert lpt_train(["--resume", str(out), "--source", str(moved)]) == 0
    stored = json.loads((out / "checkpoints" / "00000003" / "policy.json").read_text())["config"]
    assert (stored["source"], stored["device"]) == (str(moved), "cpu")
    assert read_file(moved).provenance.id == "maze2d-umaze"


def test_resume_after_a_kill_within_a_line_of_the_curve(umaze, tmp_path, flags, lpt_train):
    out = tmp_path / "run"
    evaluating = ["--training.evaluate-every", "2", "--training.evaluate-episodes", "1"]
    assert lpt_train([*flags(umaze, out, 3), *evaluating]) == 0
    curve = out / "evaluations.jsonl"
    whole = curve.read_text()
    curve.write_text(whole + whole[:20])
    assert lpt_train(["--resume", str(out)]) == 0
    assert curve.read_text() == whole


def test_a_run_killed_before_its_first_checkpoint_is_not_said_to_be_resumable(
    umaze, tmp_path, capsys, flags, lpt_train
):
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.yaml").write_text("")
    assert lpt_train(flags(umaze, out, 3)) == 2
    error = capsys.readouterr().err
    assert "remove it" in error and "--resume" not in error


def test_weight_one_is_lpt_only(umaze, tmp_path, flags, lpt_train):
    out = tmp_path / "run"
    assert lpt_train([*flags(umaze, out, 3), "--planning.weight", "1"]) == 0
    assert [p.name for p in (out / "results" / "maze2d-umaze").iterdir()] == ["lpt"]


def test_results_name_no_folder_of_this_machine(finished):
    (file,) = finished.glob("results/maze2d-umaze/lpt/seed*.json")
    text = file.read_text()
    assert str(finished.parent) not in text and '"/' not in text
    assert json.loads(text)["config"]["source"] == "umaze.hdf5"


def test_an_unknown_device_is_a_users_error(finished, capsys):
    assert lpt_eval([str(finished), "--device", "gpu"]) == 2
    assert "unknown device 'gpu'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        (["--updates", "0"], "at least one update"),
        (["--label", "../up"], "--label"),
        (["--training.log-every", "0"], "training.log_every"),
        (["--training.threads", "0"], "training.threads"),
        (["--training.history-dropout", "2"], "training.history_dropout"),
    ],
)
def test_settings_that_cannot_train_are_refused(settings, word, capsys, tmp_path):
    from lpt.cli.train import main

    out = tmp_path / "run"
    assert main(["--env", "maze2d-umaze", "--out", str(out), *settings]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("lpt-train: ") and said.err.count("\n") == 1
    assert word in said.err
    assert not out.exists()
