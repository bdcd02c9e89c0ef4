"""lpt-bench run: sweeps that are checked first, go on past failures, and resume."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import yaml
from small_runs import make_data

from lpt.bench.jobs import STOPPED, Processes, run_on_ray
from lpt.bench.records import unfinished
from lpt.bench.sweep import flags, read_sweep
from lpt.checkpoint import list_checkpoints
from lpt.cli.bench import main
from lpt.config import to_dict

SMALL = {
    "steps": 20,
    "model": {"width": 8, "heads": 2, "layers": 1, "context": 3},
    "sampler": {"batch_trajectories": 8, "segments": 2, "segment_steps": 6},
    "proposal": {"width": 16, "layers": 1, "heads": 2},
    "planning": {"steps": 3},
    "evaluation": {"episodes": 2},
    "training": {"evaluate_every": 0, "log_every": 10},
}
EXAMPLE = Path(__file__).parents[1] / "scripts" / "sweep_example.yaml"


@pytest.fixture(scope="module")
def umaze(tmp_path_factory) -> Path:
    return make_data(tmp_path_factory.mktemp("data") / "umaze.hdf5", steps=5000)


def write_sweep(folder: Path, umaze: Path, **changes) -> Path:
    """A sweep of small runs on umaze."""
    settings = {**SMALL, "data": str(umaze), **changes.pop("settings", {})}
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
    jobs = read_sweep(EXAMPLE, tmp_path)
    assert len({job.name for job in jobs}) == len(jobs) == 2 * 2 * 2
    job = next(job for job in jobs if job.name == "maze2d-medium/dt-final-short/seed1")
    config = job.config
    assert (config.env, config.algorithm, config.seed) == ("maze2d-medium", "dt-final", 1)
    assert (config.label, config.steps, config.evaluation.episodes) == ("short", 500, 50)
    assert config.sampler.segments == 6  # the preset's own
    assert config.run == tmp_path / "runs" / job.name and config.results == tmp_path / "results"


def test_a_tree_of_settings_becomes_flags():
    tree = {"steps": 5, "model": {"plan_tokens": 2}, "training": {"compile": False}, "x": [1, 2]}
    expected = [
        "--steps",
        "5",
        "--model.plan-tokens",
        "2",
        "--training.no-compile",
        "--x",
        "1",
        "2",
    ]
    assert list(flags(tree)) == expected


def test_overrides_win_over_settings_and_text_is_read_as_the_command_line_would(tmp_path):
    path = tmp_path / "s.yaml"
    path.write_text(
        "tasks: [maze2d-umaze]\nsettings: {steps: 5, training: {learning_rate: 1e-4}}\n"
        "overrides: {long: {steps: 9}}"
    )
    (job,) = read_sweep(path, tmp_path)
    assert job.name == "maze2d-umaze/lpt-long/seed0"
    assert job.config.steps == 9 and job.config.training.learning_rate == 1e-4


def test_every_mistake_is_told_at_once(tmp_path):
    error = sweep_error(
        tmp_path,
        {
            "tasks": ["maze2d-umase"],
            "algorithms": ["gpt"],
            "seeds": [0, 0],
            "seed": 1,
            "settings": {"stepz": 3, "out": "here"},
            "overrides": {"a": 3},
        },
    )
    told = ("maze2d-umase", "'gpt'", "twice", "'seed'", "settings.stepz", "settings.out")
    assert all(mistake in error for mistake in (*told, "overrides.a"))


def test_every_refused_setting_is_told_with_its_variant(tmp_path):
    wrong = {"a": {"model": {"widht": 3}}, "b": {"steps": "many"}, "c/d": {}}
    error = sweep_error(tmp_path, {"tasks": ["maze2d-umaze"], "overrides": wrong})
    lines = error.splitlines()
    assert "--model.widht" in lines[1] and "many" in lines[2] and "--label 'c/d'" in lines[3]
    pairs = zip(wrong, lines[1:], strict=True)
    assert all(line.startswith(f"- maze2d-umaze, {name}, lpt: ") for name, line in pairs)


@pytest.mark.parametrize("sweep", [[], {"tasks": []}, {"tasks": "maze2d-umaze"}, {}])
def test_a_file_that_is_no_sweep_is_refused(tmp_path, sweep):
    assert "expected" in sweep_error(tmp_path, sweep)


def test_missing_files_and_data_are_told_before_anything_starts(tmp_path, capsys):
    assert main(["run", str(tmp_path / "none.yaml")]) == 2
    assert "no such file" in capsys.readouterr().err
    path, out = write_sweep(tmp_path, tmp_path / "none.npz"), tmp_path / "out"
    assert main(["run", str(path), "--out", str(out)]) == 2
    assert "some data are not there" in capsys.readouterr().err and not out.exists()


# Running


@pytest.fixture(scope="module")
def swept(umaze, tmp_path_factory):
    """The folder and file of a sweep of two runs, one of which cannot be."""
    folder = tmp_path_factory.mktemp("sweep")
    impossible = {"sampler": {"batch_trajectories": 100_000}}
    path = write_sweep(folder, umaze, overrides={"fine": {}, "broken": impossible})
    assert main(["run", str(path), "--out", str(folder / "out"), "--jobs", "2"]) == 1
    return folder / "out", path


def test_a_failed_run_is_recorded_and_the_rest_goes_on(swept):
    out, _ = swept
    fine, broken = record_of(out, "lpt-fine"), record_of(out, "lpt-broken")
    assert fine["status"] == "done" and fine["seconds"] > 0 and fine["error"] is None
    result = json.loads((out / fine["results"][0]).read_text())
    assert result["steps"] == 20 and len(result["last"]["returns"]) == 2
    assert broken["status"] == "failed" and broken["results"] == []
    assert broken["error"].startswith("Traceback") and "batch_trajectories" in broken["error"]
    assert (out / fine["folder"] / "config.yaml").is_file()
    assert "data: maze2d-umaze" in (out / fine["log"]).read_text()


def test_a_second_call_runs_only_what_is_left(swept):
    out, path = swept
    left = unfinished(read_sweep(path, out))
    assert [job.name for job in left] == ["maze2d-umaze/lpt-broken/seed0"]


def test_a_finished_sweep_is_not_run_again(swept, capsys, monkeypatch):
    out, path = swept
    jobs = [job for job in read_sweep(path, out) if "fine" in job.name]
    monkeypatch.setattr("lpt.cli.bench.read_sweep", lambda path, out: jobs)
    before = jobs[0].record.read_text()
    assert main(["run", str(path), "--out", str(out)]) == 0
    assert "1 runs, 0 not done" in capsys.readouterr().out and jobs[0].record.read_text() == before


def test_a_finished_run_with_other_settings_is_refused(swept, umaze, tmp_path):
    out, _ = swept
    path = write_sweep(tmp_path, umaze, settings={"steps": 21}, overrides={"fine": {}})
    with pytest.raises(ValueError, match="steps 20 -> 21"):
        unfinished(read_sweep(path, out))


def test_a_run_whose_process_is_killed_is_recorded(umaze, tmp_path):
    (job,) = read_sweep(write_sweep(tmp_path, umaze), tmp_path / "out")
    processes = Processes()

    def kill() -> None:
        while not processes._running:
            time.sleep(0.01)
        next(iter(processes._running)).kill()

    killer = threading.Thread(target=kill)
    killer.start()
    record = processes.run(job)
    killer.join()
    assert record is not None and record["status"] == "failed"
    assert "SIGKILL" in record["error"] and "memory" in record["error"]


def test_a_run_does_not_outlive_its_sweep(umaze, tmp_path):
    (job,) = read_sweep(write_sweep(tmp_path, umaze, settings={"steps": 10**6}), tmp_path / "out")
    command = [sys.executable, "-m", "lpt.bench.job"]
    streams = dict(stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process = subprocess.Popen(command, text=True, **streams)
    process.communicate(json.dumps(to_dict(job.config)) + "\n", timeout=120)  # closes stdin
    assert process.returncode in STOPPED


def test_an_interrupted_sweep_saves_and_the_next_call_resumes(umaze, tmp_path, capsys):
    training = {**SMALL["training"], "checkpoint_minutes": 0.002}
    path = write_sweep(tmp_path, umaze, settings={"steps": 250, "training": training})
    out, ended = tmp_path / "out", threading.Event()
    (job,) = read_sweep(path, out)

    def interrupt() -> None:
        while not list_checkpoints(job.config.run):
            if ended.wait(0.01):
                return
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = main(["run", str(path), "--out", str(out)])
    ended.set()
    thread.join()
    assert code == 128 + signal.SIGTERM and record_of(out, "lpt")["status"] == "interrupted"
    assert "the same command goes on" in capsys.readouterr().err
    stopped = int(list_checkpoints(job.config.run)[-1].name)
    assert 0 < stopped < 250
    assert main(["run", str(path), "--out", str(out)]) == 0
    assert record_of(out, "lpt")["status"] == "done"
    assert f"at update {stopped}" in job.log.read_text()


def test_ray_runs_a_sweep(umaze, tmp_path):
    ray = pytest.importorskip("ray")
    jobs = read_sweep(write_sweep(tmp_path, umaze), tmp_path / "out")
    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        (record,) = run_on_ray(jobs, 0.0, Processes())
    finally:
        ray.shutdown()
    assert record == record_of(tmp_path / "out", "lpt") and record["status"] == "done"
    assert all((tmp_path / "out" / path).is_file() for path in record["results"])
