"""lpt-train as its users meet it: flags, errors, stopping, resuming, own data."""

import json
import re
import shutil
import signal
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lpt.algorithms.latent_plan import ENGINES
from lpt.checkpoint.files import list_checkpoints
from lpt.config import preset, read_config
from lpt.data import read_file
from lpt.evaluation.policy import LPTPolicy
from lpt.machine.source import source_commit
from lpt.training.trainer import Trainer

pytestmark = pytest.mark.usefixtures("short_episodes")
UPDATES = 80
"""Updates of the runs that are stopped and resumed."""
EVALUATING = "--training.evaluate-every 30 --training.evaluate-episodes 2".split()
CORRIDOR = "Corridor-v0"


@pytest.fixture(scope="module")
def whole(short_episodes, umaze, flags, lpt_train, tmp_path_factory) -> Path:
    """A run of UPDATES updates that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "run"
    assert lpt_train([*flags(umaze, out, UPDATES), *EVALUATING]) == 0
    return out


def weights(run: Path, updates: int = UPDATES) -> bytes:
    """The policy's weights after the last of that many updates."""
    last = list_checkpoints(run)[-1]
    assert last.name == f"{updates:08d}"
    return (last / "policy.safetensors").read_bytes()


@pytest.fixture
def error_of(lpt_train, capsys):
    """`error_of(arguments)`: the message of a command that must fail with exit code 2."""

    def run(arguments) -> str:
        capsys.readouterr()
        assert lpt_train(arguments) == 2
        captured = capsys.readouterr()
        error = captured.err.strip() or captured.out
        if error.startswith("lpt-train: "):
            assert "\n" not in error
        assert "Traceback" not in error
        return error

    return run


# Flags and configuration


def test_the_stored_configuration_is_what_was_asked_for(whole):
    config = read_config(whole / "config.yaml")
    assert config.updates == UPDATES and config.model.width == 8 and config.out == whole
    assert config.planning.weight == preset("maze2d-umaze").planning.weight  # the preset's
    metadata = LPTPolicy.load(whole).metadata
    assert metadata.config == config and metadata.updates == UPDATES


def test_help_is_grouped_and_explained(capsys, lpt_train):
    assert lpt_train(["--env", "maze2d-umaze", "--help-all"]) == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for group in ("sampler", "model", "posterior", "planning", "training", "evaluation"):
        assert f"{group} options" in text
    assert "maze2d-large" in text and "AdamW's peak learning rate" in text


# Errors: one line, exit code 2, nothing begun


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "maze2d-umase"], "no preset for task 'maze2d-umase'"),
        (["--env", "maze2d-umaze", "--stepz", "5"], "--stepz"),
        (["--env", "maze2d-umaze", "--updates", "many"], "many"),
        (["--env", "maze2d-umaze", "--engine", "magic"], "magic"),
        (["--env", "maze2d-umaze", "--planning.weight", "-1"], "weight"),
        ([], "--task"),
        (["--env", "maze2d-umaze", "--source", "{folder}/none.npz"], "none.npz: no such file"),
        (["--env", "maze2d-umaze", "--source", "nonsense"], "'nonsense'"),
        (["--env", "maze2d-umaze", "--source", "{folder}/broken.npz"], "broken.npz"),
        (["--env", "maze2d-umaze", "--source", "{folder}/nan.npz"], "observations"),
        (["--env", "maze2d-umaze", "--device", "cuda"], "device cuda is not available"),
        (["--resume", "{folder}/nothing"], "no run at"),
        (["--resume", "{folder}/run", "--updates", "9"], "leave out --updates"),
        (["--env", "maze2d-umaze", "--out", "{folder}/broken.npz"], "broken.npz"),
        (["--env", "maze2d-umaze", "--env-id", "NoSuch-v0"], "cannot make the environment"),
        (["--env", "maze2d-umaze", "--training.threads", "0"], "training.threads=0"),
    ],
)
def test_errors_come_before_any_work(arguments, message, tmp_path, monkeypatch, error_of):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    files = tmp_path / "files"
    files.mkdir()
    (files / "broken.npz").write_bytes(b"not a zip")
    steps = {"actions": np.zeros((4, 2)), "rewards": np.ones(4), "terminals": [0, 0, 0, 1]}
    observations = np.full((4, 4), np.nan)
    np.savez(files / "nan.npz", observations=observations, timeouts=np.zeros(4), **steps)
    error = error_of([a.format(folder=files) for a in arguments])
    assert message in error and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("env_id", ["NoSuch-v0", "CartPole-v1"])
def test_a_wrong_environment_shows_before_training(umaze, tmp_path, env_id, flags, error_of):
    error = error_of([*flags(umaze, tmp_path / "run"), "--env-id", env_id])
    assert env_id in error and not (tmp_path / "run").exists()


def test_a_run_killed_before_its_first_checkpoint_says_what_to_do(umaze, tmp_path, flags, error_of):
    (tmp_path / "config.yaml").write_text("task: maze2d-umaze")
    assert "remove it" in error_of(flags(umaze, tmp_path))


def test_a_finished_run_is_never_overwritten(whole, umaze, flags, error_of):
    before = {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()}
    error = error_of(flags(umaze, whole, UPDATES))
    assert f"--resume {whole}" in error and "--out" in error
    assert before == {p: p.stat().st_mtime_ns for p in whole.rglob("*") if p.is_file()}


# What a run leaves


def test_a_run_leaves_what_it_promises(whole):
    records = [json.loads(line) for line in (whole / "evaluations.jsonl").read_text().splitlines()]
    assert [record["updates"] for record in records] == [30, 60]
    assert all(len(record["returns"]) == 2 for record in records)
    assert (whole / "best" / "policy.safetensors").is_file()
    for algorithm, weight in (("lpt", 1.0), ("lpt-ei", preset("maze2d-umaze").planning.weight)):
        path = whole / "results" / "maze2d-umaze" / algorithm / "seed0.json"
        record = json.loads(path.read_text())
        assert record["task"] == "maze2d-umaze" and record["algorithm"] == algorithm
        assert (
            record["updates"] == record["last"]["updates"] == UPDATES and record["wall_seconds"] > 0
        )
        assert record["data"]["source"] and len(record["data"]["fingerprint"]) == 64
        assert record["env_id"] == "lpt_envs:lpt/Maze2D-umaze-v1"
        assert record["commit"] == source_commit()
        assert record["labels"] == record["config"]["dataset"]["returns"]
        own = [30, 60] if algorithm == "lpt-ei" else []  # evaluated with the run's own weight
        assert [point["updates"] for point in record["curve"]] == own
        assert record["last"]["weight"] == weight and record["best"]["updates"] in (30, 60)
        for which in ("last", "best"):
            assert len(record[which]["returns"]) == 2 and record[which]["score"] is not None
            assert record[which]["deterministic"] is True


def test_tensorboard_shows_losses_chains_speed_and_scores(whole):
    events = EventAccumulator(str(whole))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert {
        "loss/total",
        "loss/actions",
        "loss/return",
        "optim/gradient_norm",
        "optim/learning_rate",
        "optim/prior_weight",
        "chain/kl",
        "plan/own",
        "plan/shuffled",
        "plan/prior",
        "plan/information",
        "plan/return_correlation",
        "speed/transitions_per_second",
        "evaluation/return",
        "evaluation/score",
    } <= tags
    points = events.Scalars("loss/total")
    assert [point.step for point in points] == list(range(10, UPDATES + 1, 10))
    assert all(np.isfinite(point.value) for point in points)
    text = events.Tensors("config/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "width: 8" in text and "task: maze2d-umaze" in text


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_trains_and_is_evaluated(
    engine, umaze, tmp_path, monkeypatch, flags, lpt_train
):
    monkeypatch.chdir(tmp_path)
    short = ["--engine", engine, "--evaluation.episodes", "1"]
    assert lpt_train([*flags(umaze, None, 4), *short]) == 0
    run = tmp_path / "runs" / "maze2d-umaze" / f"{engine}-seed0"  # the folder nobody named
    assert LPTPolicy.load(run).metadata.config.engine == engine
    assert (run / "results" / "maze2d-umaze" / "lpt-ei" / "seed0.json").is_file()


# Stopping and resuming


def updates_of(process) -> int:
    """How many updates the progress bar says are made."""
    made = re.findall(rf"(\d+)/{UPDATES} \[", process.said)
    return int(made[-1]) if made else 0


def returns_of(run: Path) -> list[float]:
    """What the last checkpoint's episodes earned."""
    path = run / "results" / "maze2d-umaze" / "lpt" / "seed0.json"
    return json.loads(path.read_text())["last"]["returns"]


def test_kill_9_and_ctrl_c_lose_little_and_resume_ends_as_if_nothing_had_happened(
    umaze, whole, flags, lpt_train, forks, tmp_path, capsys
):
    out = tmp_path / "run"
    saving = ["--training.checkpoint-minutes", "0.002"]
    killed = forks.start("lpt.cli.train", *flags(umaze, out, UPDATES), *saving)
    seen = int(killed.until(lambda: list_checkpoints(out))[-1].name)
    killed.signal(signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    left = int(list_checkpoints(out)[-1].name)
    assert seen <= left < UPDATES  # at most the last interval is lost

    pressed = forks.start("lpt.cli.train", "--resume", out)
    pressed.until(lambda: updates_of(pressed) > left)
    pressed.signal(signal.SIGINT)
    assert pressed.wait() == 128 + signal.SIGINT
    assert f"lpt-train --resume {out}" in pressed.said and "Traceback" not in pressed.said
    stopped = int(list_checkpoints(out)[-1].name)
    assert left < stopped < UPDATES and not (out / "results").exists()

    assert lpt_train(["--resume", str(out)]) == 0
    assert f"resumed {out} at update {stopped}" in capsys.readouterr().out
    assert weights(out) == weights(whole) and returns_of(out) == returns_of(whole)


def test_sigterm_between_evaluations_keeps_curve_and_best(
    umaze, whole, flags, lpt_train, tmp_path, capsys, monkeypatch
):
    out = tmp_path / "run"
    update = Trainer.update

    def stopped(trainer):
        if trainer.updates == 50:
            signal.raise_signal(signal.SIGTERM)
        return update(trainer)

    monkeypatch.setattr(Trainer, "update", stopped)
    assert lpt_train([*flags(umaze, out, UPDATES), *EVALUATING]) == 128 + signal.SIGTERM
    monkeypatch.undo()
    assert f"lpt-train --resume {out}" in capsys.readouterr().err
    assert [path.name for path in list_checkpoints(out)] == ["00000051"]
    assert lpt_train(["--resume", str(out)]) == 0
    assert weights(out) == weights(whole) and returns_of(out) == returns_of(whole)
    curves = []
    for run in (out, whole):
        records = map(json.loads, (run / "evaluations.jsonl").read_text().splitlines())
        curves.append([(record["updates"], record["returns"]) for record in records])
    assert curves[0] == curves[1]
    best = [(run / "best" / "policy.safetensors").read_bytes() for run in (out, whole)]
    assert best[0] == best[1]


def test_resuming_a_finished_run_changes_nothing(whole, tmp_path, lpt_train):
    out = shutil.copytree(whole, tmp_path / "copy")
    assert lpt_train(["--resume", str(out)]) == 0
    assert weights(out) == weights(whole)


def test_resume_with_changed_data_is_refused(tmp_path, flags, lpt_train, make_data, error_of):
    data = make_data(tmp_path / "own.npz", steps=3000)
    out = tmp_path / "run"
    assert lpt_train(flags(data, out, 3)) == 0
    before = weights(out, 3)
    kept = data.rename(tmp_path / "kept.npz")
    make_data(data, seed=1, steps=3000)
    error = error_of(["--resume", str(out)])
    assert "was trained on data" in error and weights(out, 3) == before
    with open(out / "evaluations.jsonl", "w") as file:
        file.write('{"updates": 2, "returns": [1.0]}\n{"updates": 3, "ret')  # killed while writing
    assert lpt_train(["--resume", str(out), "--source", str(kept)]) == 0
    assert (out / "evaluations.jsonl").read_text() == '{"updates": 2, "returns": [1.0]}\n'


# Own data, own environment


def test_own_npz_is_the_same_data_as_hdf5(umaze, tmp_path, flags, lpt_train, make_data):
    npz, ends = make_data(tmp_path / "own.npz"), []
    assert read_file(npz).provenance.fingerprint == read_file(umaze).provenance.fingerprint
    for data in (npz, umaze):
        out = tmp_path / data.suffix
        assert lpt_train([*flags(data, out, 3), "--evaluation.episodes", "1"]) == 0
        ends.append(weights(out, 3))
    assert ends[0] == ends[1]


@pytest.fixture
def own_environment(corridor):
    gymnasium.register(CORRIDOR, entry_point=corridor)
    yield corridor()
    del gymnasium.registry[CORRIDOR]


def test_own_data_and_own_environment(own_environment, tmp_path, flags, lpt_train):
    """Data of one's own from an environment of one's own; no D4RL score is claimed for it."""
    rng = np.random.default_rng(0)
    rows = {"observations": [], "actions": [], "rewards": [], "terminals": []}
    for seed in range(20):
        observation, ended = own_environment.reset(seed=seed)[0], False
        while not ended:
            action = rng.uniform(-1, 1, 2).astype(np.float32)
            after, reward, ended, _, _ = own_environment.step(action)
            for key, value in zip(rows, (observation, action, reward, ended), strict=True):
                rows[key].append(value)
            observation = after
    data, out = tmp_path / "own.npz", tmp_path / "run"
    np.savez(data, timeouts=np.zeros(len(rows["rewards"])), **rows)
    own = ["--env-id", CORRIDOR, "--evaluation.target", "9"]
    assert lpt_train(["--env", "corridor", *flags(data, out, 5)[2:], *own]) == 0
    record = json.loads((out / "results" / "corridor" / "lpt" / "seed0.json").read_text())
    assert record["env_id"] == CORRIDOR and record["last"]["score"] is None
    assert record["data"]["source"] == "npz" and all(1 <= r <= 9 for r in record["last"]["returns"])
