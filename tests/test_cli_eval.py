"""lpt-eval from a saved run to table, JSON, figures and film; users' errors in one line."""

import dataclasses
import importlib.util
import json
import runpy
import sys
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
import torch

from lpt.algorithms import find_algorithm
from lpt.checkpoint.files import save_checkpoint, save_policy
from lpt.cli.eval import main
from lpt.cli.report import main as report
from lpt.evaluation.video import record_video

pytestmark = pytest.mark.usefixtures("short_episodes")


@pytest.fixture(scope="module")
def run(tmp_path_factory, make_metadata, make_policy_model):
    """A run folder as lpt-train leaves it."""
    folder = tmp_path_factory.mktemp("runs") / "amortized-seed3"
    model = make_policy_model()
    config = {
        "model": dataclasses.asdict(model.config),
        "planning": {"steps": 2, "weight": 5.0},
        "evaluation": {"target": 40.0, "episodes": 4, "seed": 7, "sweep": [0.0, 40.0, 80.0]},
    }
    metadata = make_metadata(config=config)
    save_checkpoint(folder, 10, model.state_dict(), metadata, {}, {"wall_seconds": 12.5})
    save_policy(folder / "best", make_policy_model(seed=1).state_dict(), metadata)
    rng = np.random.default_rng(0)
    with open(folder / "evaluations.jsonl", "w") as file:
        for updates in (5, 10):
            returns = rng.uniform(0, 300, 20).tolist()
            record = {"updates": updates, "returns": returns, "score": 50.0}
            file.write(json.dumps(record) + "\n")
        file.write('{"updates": 15, "ret')  # a killed run
    return folder


def is_drawn(path: Path) -> bool:
    """The file is an image with more than a few colors."""
    image = (255 * matplotlib.image.imread(path)[..., :3]).astype(int)
    return image.shape[0] > 200 and len(np.unique(image @ [1 << 16, 1 << 8, 1])) > 20


def test_table_json_and_figure(run, tmp_path, capsys):
    out, plot = tmp_path / "a" / "out.json", tmp_path / "b" / "maze.png"
    assert main([str(run), "--out", str(out), "--plot", str(plot), "--episodes", "3"]) == 0
    text = capsys.readouterr().out
    assert "maze2d-umaze" in text and "23.85" in text and "ceiling" in text
    record = json.loads(out.read_text())
    assert record["algorithm"] == "lpt-ei" and record["last"]["weight"] == 5.0
    assert len(record["last"]["returns"]) == 3 and record["last"]["seed"] == 30007
    assert record["wall_seconds"] == 12.5 and record["best"] is None
    assert is_drawn(plot)
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["maze.png", "out.json"]


def test_sweep_reports_every_target(run, tmp_path):
    out, plot = tmp_path / "sweep.json", tmp_path / "sweep.png"
    arguments = ["--sweep", "--episodes", "2", "--weight", "1", "--actions", "sample"]
    assert main([str(run), *arguments, "--out", str(out), "--plot", str(plot)]) == 0
    record = json.loads(out.read_text())
    assert [e["target"] for e in record["sweep"]] == [40, 0, 80]
    assert record["algorithm"] == "lpt" and record["last"]["deterministic"] is False
    assert is_drawn(plot)


def test_draws_of_the_command_line_are_planned_with_and_recorded(
    tmp_path, capsys, make_metadata, make_policy_model
):
    model = make_policy_model(remembered_plans=8)
    model.remembered.add(torch.randn(8, *model.plan_shape))
    config = {
        "model": dataclasses.asdict(model.config),
        "planning": {"method": "aggregated", "weight": 5.0},
        "evaluation": {"target": 40.0, "episodes": 3},
    }
    run = tmp_path / "lpt-seed0"
    save_checkpoint(run, 1, model.state_dict(), make_metadata(config=config), {}, {})
    records = []
    for draws in ([], ["--draws", "1"], ["--draws", "64"]):
        out = tmp_path / f"{len(records)}.json"
        assert main([str(run), *draws, "--out", str(out)]) == 0
        records.append(json.loads(out.read_text()))
    unset, one, many = (record["last"]["predicted_return"] for record in records)
    assert unset == one != many
    assert [record["config"]["planning"]["draws"] for record in records] == [1, 1, 64]
    names = [record["algorithm"] for record in records]
    assert names == ["lpt-ei", "lpt-ei-draws1", "lpt-ei-draws64"]  # no other seeds of one row
    capsys.readouterr()
    assert main([str(run), "--draws", "0"]) == 2
    assert "planning.draws=0 must be 1 or more" in capsys.readouterr().err
    baseline = find_algorithm("bc").build(model.config, model.spaces)
    metadata = make_metadata(config=config, algorithm="bc")
    save_checkpoint(tmp_path / "bc", 1, baseline.state_dict(), metadata, {}, {})
    assert main([str(tmp_path / "bc"), "--draws", "2"]) == 2
    assert "this run is of bc, which has no plan: leave it out" in capsys.readouterr().err


def test_the_same_command_gives_the_same_returns(run, tmp_path):
    returns = []
    for name, which in (("a", "last"), ("b", "last"), ("c", "best")):
        out = tmp_path / f"{name}.json"
        command = [
            str(run),
            "--which",
            which,
            "--target",
            "1",
            "--episodes",
            "2",
            "--out",
            str(out),
        ]
        assert main(command) == 0
        record = json.loads(out.read_text())
        returns.append((record[which]["returns"], record[which]["predicted_return"]))
        assert record["best" if which == "last" else "last"] is None
    assert returns[0] == returns[1] != returns[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{run}/nothing"], "no run at"),
        (["{run}", "--env-id", "CartPole-v1"], "trained on continuous actions of 2"),
        (["{run}", "--env-id", "NoSuch-v1"], "cannot make the environment 'NoSuch-v1'"),
        (["{run}", "--episodes", "0"], "evaluation.episodes=0 must be at least 1"),
        (["{run}", "--weight", "-1"], "planning.weight=-1.0 must be positive"),
        (["{run}", "--draws", "4"], "this run plans by variational: leave it out"),
        (["{run}", "--plot", "plot.docx"], "end its name in .png"),
        (["{run}", "--video", "film.avi"], "end its name in .mp4"),
        (["{run}", "--out", __file__], "is there already"),
    ],
)
def test_errors_are_one_line_and_exit_code_two(run, capsys, arguments, message):
    assert main([a.format(run=run) for a in arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("lpt-eval: ") and message in error and "\n" not in error


def test_help_explains_every_option(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out
    for flag in ("--episodes", "--target", "--weight", "--sweep", "--video", "--plot", "--out"):
        assert flag in text


@pytest.mark.filterwarnings("ignore:.*found in sys.modules.*:RuntimeWarning")
def test_as_a_command_an_error_has_no_traceback(run, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["lpt-eval", str(run / "x")])
    with pytest.raises(SystemExit, match="2"):
        runpy.run_module("lpt.cli.eval", run_name="__main__", alter_sys=True)
    assert capsys.readouterr().err.startswith("lpt-eval: no run at")


def test_film(run, tmp_path, monkeypatch):
    from lpt.evaluation.policy import LPTPolicy

    policy = LPTPolicy.load(run)
    path = tmp_path / "film.gif"
    try:
        returns = record_video(policy, path, max_frames=10)
    except ValueError as error:
        assert "cannot be rendered on this machine" in str(error)
        pytest.skip(str(error))
    assert len(returns) == 1 and path.stat().st_size > 1000


def test_a_missing_video_extra_says_what_to_install(run, tmp_path, capsys, monkeypatch):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "imageio" else real(name)
    )
    assert main([str(run), "--episodes", "1", "--video", str(tmp_path / "film.mp4")]) == 2
    assert "pip install 'lpt-toolkit[video]'" in capsys.readouterr().err


def test_the_report_is_made_of_runs_and_results(run, tmp_path, capsys):
    def figures(*arguments):
        return report(list(map(str, arguments)))

    assert figures("curves", tmp_path / "curve.png", run) == 0
    plans = tmp_path / "plans.png"
    assert figures("plan-space", plans, run, "--per-target", 2, "--targets", 0, 40) == 0
    assert is_drawn(tmp_path / "curve.png") and is_drawn(plans)
    main([str(run), "--episodes", "2", "--out", str(tmp_path / "results/t/lpt-ei/seed3.json")])
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- results: made by lpt-report table -->\nold\n"
                      "<!-- end of results -->\nafter\n")  # fmt: skip
    assert figures("table", "--results", tmp_path / "results", "--into", readme) == 0
    text = readme.read_text()
    assert "| maze2d-umaze | lpt-ei | 10 | 40, 5 | 1 x 2 |" in text and "old" not in text
    assert text.startswith("before\n") and text.endswith("after\n")
    assert figures("table", "--summary", "--results", tmp_path / "results", "--into", readme) == 0
    assert "| task | LPT-EI |" in readme.read_text()  # no column without results
    swept, plain = tmp_path / "sweep.json", tmp_path / "results/t/lpt-ei/seed3.json"
    main([str(run), "--episodes", "2", "--sweep", "--out", str(swept)])
    assert figures("sweeps", tmp_path / "sweeps.png", swept, swept) == 0
    assert is_drawn(tmp_path / "sweeps.png")
    capsys.readouterr()
    assert figures("sweeps", tmp_path / "none.png", plain) == 2
    assert "lpt-eval --sweep --out" in capsys.readouterr().err
    assert figures("table", "--results", tmp_path / "nothing") == 2
    assert capsys.readouterr().err.startswith("lpt-report: no results")


def test_the_report_sums_up_data(tmp_path):
    """The numbers of a known file: returns 1 to 10, one step each."""
    rows = {"observations": np.zeros((10, 4)), "actions": np.zeros((10, 2))}
    ends = {"rewards": np.arange(1.0, 11.0), "terminals": np.ones(10), "timeouts": np.zeros(10)}
    np.savez(tmp_path / "mine.npz", **rows, **ends)
    path = tmp_path / "data.json"
    source = str(tmp_path / "mine.npz")
    assert report(["data", str(path), "maze2d-umaze", "--source", source]) == 0
    found = json.loads(path.read_text())["maze2d-umaze"]
    assert (found["mean"], found["q90"], found["best"]) == (5.5, pytest.approx(9.1), 10.0)
    assert (found["trajectories"], found["steps"]) == (10, 10)
