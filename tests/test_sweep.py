"""lpt-sweep: sweeps that are checked first, go on past failures, and resume."""

import json
import os
import signal
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lpt.checkpoint.files import list_checkpoints
from lpt.cli import bench
from lpt.cli.sweep import main
from lpt.config import preset, to_tree
from lpt.sweep.records import result_files, unfinished
from lpt.sweep.runner import STOPPED, Processes, run_on_ray
from lpt.sweep.trials import configuration, read_sweep
from lpt.sweep.worker import run_here

SMALL = {
    "updates": 20,
    "engine": "amortized",
    "posterior": {"trajectories": 0},
    "dataset": {"held_steps": 0, "arrival_steps": 0, "min_length": 1},
    "model": {"width": 8, "heads": 2, "layers": 1, "context": 3},
    "sampler": {"batch_trajectories": 8, "segments": 2, "segment_steps": 6},
    "proposal": {"width": 16, "layers": 1, "heads": 2},
    "planning": {"steps": 3, "weight": 1, "method": "variational", "draws": 1},
    "evaluation": {"episodes": 2},
    "training": {"evaluate_every": 0, "log_every": 10},
}
EXAMPLE = Path(__file__).parents[1] / "scripts" / "sweep_example.yaml"


def write_sweep(folder: Path, umaze: Path, **changes) -> Path:
    """A sweep of small runs on umaze."""
    settings = {**SMALL, "source": str(umaze), **changes.pop("settings", {})}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"tasks": ["maze2d-umaze"], "settings": settings, **changes}))
    return path


def record_of(out: Path, name: str) -> dict:
    return json.loads((out / "records" / "maze2d-umaze" / name / "seed0.json").read_text())


def sweep_error(tmp_path: Path, sweep: object) -> str:
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep))
    with pytest.raises(ValueError) as caught:
        read_sweep(path, tmp_path / "out")
    return str(caught.value)


# What the file says


def test_the_example_is_tasks_times_algorithms_times_seeds_times_overrides(tmp_path):
    trials = read_sweep(EXAMPLE, tmp_path)
    assert len({trial.name for trial in trials}) == len(trials) == 2 * 2 * 2
    trial = next(trial for trial in trials if trial.name == "maze2d-medium/dt-final-short/seed1")
    config = trial.config
    assert (config.task, config.algorithm, config.seed) == ("maze2d-medium", "dt-final", 1)
    assert (config.label, config.updates, config.evaluation.episodes) == ("short", 500, 50)
    assert config.sampler.segments == 4  # the preset's own
    assert config.run == tmp_path / "runs" / trial.name and config.results == tmp_path / "results"


def test_settings_are_a_tree_whose_names_may_be_flags_or_those_of_version_0_1():
    tree = {
        "model": {"plan-tokens": 2},
        "training": {"compile": False},
        "evaluation": {"sweep": [1]},
    }
    old = {"steps": 5, "inference": "amortised", "sampler": {"spread": "even", "segments": 9}}
    config = configuration("maze2d-umaze", "bc", tree, old)
    own = preset("maze2d-umaze")
    expected = replace(
        own,
        algorithm="bc",
        updates=5,
        engine="amortized",
        model=replace(own.model, plan_tokens=2),
        training=replace(own.training, compile=False),
        evaluation=replace(own.evaluation, sweep=(1.0,)),
        sampler=replace(own.sampler, segments=9),
    )
    assert config == expected


def test_overrides_win_over_settings_and_text_is_read_as_the_command_line_would(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "tasks: [maze2d-umaze]\nsettings: {updates: 5, training: {learning_rate: 1e-4}}\n"
        "overrides: {long: {updates: 9}}"
    )
    (trial,) = read_sweep(path, tmp_path)
    assert trial.name == "maze2d-umaze/lpt-long/seed0"
    assert trial.config.updates == 9 and trial.config.training.learning_rate == 1e-4


def test_a_task_may_have_settings_of_its_own_between_those_of_all_and_a_variants(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "tasks: {mine: {source: a.npz, updates: 6}, yours: {source: b.npz, seed: 1}, "
        "maze2d-umaze}\n"
        "settings: {updates: 5}\noverrides: {short: {}, long: {updates: 9}}"
    )
    with pytest.raises(ValueError, match=r"tasks\.yours\.seed: the sweep itself sets it"):
        read_sweep(path, tmp_path)
    path.write_text(path.read_text().replace(", seed: 1", ""))
    found = {
        (c.task, c.label): (c.preset, c.source, c.updates)
        for c in (trial.config for trial in read_sweep(path, tmp_path))
    }
    assert found == {
        ("mine", "short"): ("plain", "a.npz", 6),
        ("mine", "long"): ("plain", "a.npz", 9),
        ("yours", "short"): ("plain", "b.npz", 5),
        ("yours", "long"): ("plain", "b.npz", 9),
        ("maze2d-umaze", "short"): ("maze2d-umaze", "auto", 5),
        ("maze2d-umaze", "long"): ("maze2d-umaze", "auto", 9),
    }


def test_a_presets_label_stays_in_names(tmp_path):
    path = EXAMPLE.with_name("paper.yaml")
    names = [trial.name for trial in read_sweep(path, tmp_path)]
    assert names == ["connect-four/lpt-paper/seed0", "hopper-medium-replay/lpt-paper/seed0"]
    path = tmp_path / "s.yaml"
    path.write_text(
        "tasks: [connect-four]\nsettings: {preset: paper}\noverrides: {long: {updates: 9}}"
    )
    assert read_sweep(path, tmp_path)[0].name == "connect-four/lpt-paper-long/seed0"


def test_every_mistake_is_told_at_once(tmp_path):
    error = sweep_error(
        tmp_path,
        {
            "tasks": ["maze2d-umase"],
            "algorithms": ["gpt"],
            "seeds": [0, 0],
            "seed": 1,
            "settings": {"updatez": 3, "out": "here"},
            "overrides": {"a": 3},
        },
    )
    told = ("maze2d-umase", "'gpt'", "twice", "'seed'", "settings.updatez", "settings.out")
    assert all(mistake in error for mistake in (*told, "overrides.a"))


def test_every_refused_setting_is_told_with_its_variant(tmp_path):
    wrong = {"a": {"model": {"widht": 3}}, "b": {"updates": "many"}, "c/d": {}}
    error = sweep_error(tmp_path, {"tasks": ["maze2d-umaze"], "overrides": wrong})
    lines = error.splitlines()
    assert (
        "did you mean model.width?" in lines[1]
        and "many" in lines[2]
        and "--label 'c/d'" in lines[3]
    )
    pairs = zip(wrong, lines[1:], strict=True)
    assert all(line.startswith(f"- maze2d-umaze, {name}, lpt: ") for name, line in pairs)


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("tasks:\n  mine: {source: a.hdf5}\n  mine: {source: b.hdf5}\n")
    with pytest.raises(ValueError, match=r"'mine' stands twice, keep one.*line 3"):
        read_sweep(path, tmp_path / "out")


@pytest.mark.parametrize(
    "sweep", [[], {"tasks": []}, {"tasks": "maze2d-umaze"}, {"tasks": {"maze2d-umaze": 3}}, {}]
)
def test_a_file_that_is_no_sweep_is_refused(tmp_path, sweep):
    assert "expected" in sweep_error(tmp_path, sweep)


def test_missing_files_and_data_are_told_before_anything_starts(tmp_path, capsys):
    assert bench.main(["run", str(tmp_path / "none.yaml")]) == 2
    error = capsys.readouterr().err  # of the command's name in version 0.1, too
    assert "is lpt-sweep now" in error and "no such file" in error
    path, out = write_sweep(tmp_path, tmp_path / "none.npz"), tmp_path / "out"
    assert main([str(path), "--out", str(out)]) == 2
    assert "some data are not there" in capsys.readouterr().err and not out.exists()


# Running


@pytest.fixture(scope="module")
def swept(umaze, forks, tmp_path_factory):
    """The folder and file of a sweep of two runs, one of which cannot be."""
    folder = tmp_path_factory.mktemp("sweep")
    impossible = {"training": {"observation_noise": 0, "observation_noise_raw": [0.1]}}
    path = write_sweep(folder, umaze, overrides={"fine": {}, "broken": impossible})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("lpt.sweep.runner.sys.executable", str(forks.python))
        assert main([str(path), "--out", str(folder / "out"), "--jobs", "2"]) == 1
    return folder / "out", path


def test_a_failed_run_is_recorded_and_the_rest_goes_on(swept):
    out, _ = swept
    fine, broken = record_of(out, "lpt-fine"), record_of(out, "lpt-broken")
    assert fine["status"] == "done" and fine["seconds"] > 0 and fine["error"] is None
    result = json.loads((out / fine["results"][0]).read_text())
    assert result["updates"] == 20 and len(result["last"]["returns"]) == 2
    assert broken["status"] == "failed" and broken["results"] == []
    assert broken["error"].startswith("Traceback") and "observation_noise_raw" in broken["error"]
    assert (out / fine["folder"] / "config.yaml").is_file()
    assert "data: maze2d-umaze" in (out / fine["log"]).read_text()


def test_a_second_call_runs_only_what_is_left(swept):
    out, path = swept
    left = unfinished(read_sweep(path, out))
    assert [trial.name for trial in left] == ["maze2d-umaze/lpt-broken/seed0"]


def test_a_finished_sweep_is_not_run_again(swept, capsys, monkeypatch):
    out, path = swept
    (trial,) = (trial for trial in read_sweep(path, out) if "fine" in trial.name)
    monkeypatch.setattr("lpt.sweep.trials.read_sweep", lambda path, out: [trial])
    before = trial.record.read_text()
    assert main([str(path), "--out", str(out)]) == 0
    assert "1 runs, 0 not done" in capsys.readouterr().out and trial.record.read_text() == before


def test_a_finished_run_with_other_settings_is_refused(swept, umaze, tmp_path):
    out, _ = swept
    path = write_sweep(tmp_path, umaze, settings={"updates": 21}, overrides={"fine": {}})
    with pytest.raises(ValueError, match="updates 20 -> 21"):
        unfinished(read_sweep(path, out))


def test_a_record_of_a_version_with_fewer_settings_is_no_other_run(swept):
    out, path = swept
    (trial,) = (trial for trial in read_sweep(path, out) if "fine" in trial.name)
    record = json.loads(trial.record.read_text())
    kept = record["settings"]
    older = {**kept, "model": {k: v for k, v in kept["model"].items() if k != "dropout"}}
    older["planning"] = {"steps": kept["planning"]["steps"]}
    older["steps"], older["inference"] = older.pop("updates"), "amortised"
    del older["engine"]
    trial.record.write_text(json.dumps({**record, "settings": older}))
    try:
        assert unfinished([trial]) == []
    finally:
        trial.record.write_text(json.dumps(record))


def test_a_run_whose_process_is_killed_is_recorded(umaze, tmp_path):
    (trial,) = read_sweep(write_sweep(tmp_path, umaze), tmp_path / "out")
    processes = Processes()

    def kill() -> None:
        while not processes._running:
            time.sleep(0.01)
        next(iter(processes._running)).kill()

    killer = threading.Thread(target=kill)
    killer.start()
    record = processes.run(trial)
    killer.join()
    assert record is not None and record["status"] == "failed"
    assert "SIGKILL" in record["error"] and "memory" in record["error"]


def test_an_interrupted_sweep_stops_its_runs_and_says_how_to_go_on(umaze, tmp_path, capsys):
    path, out, ended = write_sweep(tmp_path, umaze), tmp_path / "out", threading.Event()
    (trial,) = read_sweep(path, out)

    def interrupt() -> None:
        while not trial.log.is_file():
            if ended.wait(0.01):
                return
        time.sleep(0.5)  # the sweep is waiting for the run, which is not ready to save yet
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = main([str(path), "--out", str(out)])
    ended.set()
    thread.join()
    assert code == 128 + signal.SIGTERM and record_of(out, "lpt")["status"] == "interrupted"
    assert "the same command goes on" in capsys.readouterr().err
    assert unfinished([trial]) == [trial]


def test_a_run_does_not_outlive_its_sweep_and_is_resumed(umaze, tmp_path, capsys, forks):
    """Its input ends with the sweep: it saves and stops, and the next call goes on from there."""
    training = {**SMALL["training"], "checkpoint_minutes": 0.002}
    path = write_sweep(tmp_path, umaze, settings={"updates": 120, "training": training})
    (trial,) = read_sweep(path, tmp_path / "out")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    worker = forks.start("lpt.sweep.worker", stdin=pipe)
    with open(pipe, "w") as sweep:
        print(json.dumps(to_tree(trial.config)), file=sweep, flush=True)
        worker.until(lambda: list_checkpoints(trial.config.run))
    assert worker.wait() in STOPPED
    stopped = int(list_checkpoints(trial.config.run)[-1].name)
    assert 0 < stopped < 120 and unfinished([trial]) == [trial]
    assert run_here(trial.config) == 0
    assert f"at update {stopped}" in capsys.readouterr().out
    assert result_files(trial)


def test_ray_runs_a_sweep(umaze, tmp_path, forks):
    ray = pytest.importorskip("ray")
    trials = read_sweep(write_sweep(tmp_path, umaze), tmp_path / "out")
    python = str(forks.python)
    ready = {"worker_process_setup_hook": lambda: setattr(sys, "executable", python)}
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, runtime_env=ready)
    try:
        (record,) = run_on_ray(trials, 0.0, Processes())
    finally:
        ray.shutdown()
    assert record == record_of(tmp_path / "out", "lpt") and record["status"] == "done"
    assert all((tmp_path / "out" / path).is_file() for path in record["results"])
