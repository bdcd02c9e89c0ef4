"""What the README and the how-to pages say works: every block runs, top to bottom, links exist.

Trainings are cut to a few updates of a small model and evaluations to two episodes; a small run
stands in for the quick start's, in the folder that the README names.
"""

import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import tyro
import yaml

from lpt.cli import bench, data, export, info, play, report, sweep, train
from lpt.cli import eval as evaluation

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = Path("runs/maze2d-umaze/langevin-seed0")
PAGES = {"README.md": README} | {
    name: (ROOT / "docs" / name).read_text(encoding="utf-8")
    for name in (
        *("training.md", "evaluation.md", "loops.md", "own_environment.md", "own_data.md"),
        *("export.md", "connect_four.md", "mujoco.md", "troubleshooting.md"),
    )
}
"""Pages whose blocks are run."""
NOT_OURS = {"python3", "source", "pip", "tensorboard", "bash"}
"""Programs that the README only mentions."""
TABLES = ("results.md", "mujoco.md", "own_environment.md")
"""Pages in docs/ whose tables `make figures` makes, besides the README's."""


def blocks(page: str) -> list[tuple[str, str]]:
    """(language, content) of the code blocks."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", PAGES[page], re.MULTILINE | re.DOTALL)
    assert {language for language, _ in found} <= {"bash", "python"}
    return found


@pytest.fixture
def place(tmp_path, monkeypatch, make_data) -> Path:
    """A working folder beside data of a maze."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LPT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    make_data(tmp_path / "d4rl" / "maze2d-umaze-sparse-v1.hdf5")
    return tmp_path


@pytest.fixture
def quick_start(place, flags, lpt_train) -> Path:
    """The same with the run of the quick start."""
    umaze = place / "d4rl" / "maze2d-umaze-sparse-v1.hdf5"
    assert lpt_train([*flags(umaze, place / RUN), "--evaluation.sweep", "0", "150"]) == 0
    return place


@pytest.fixture
def robot(place) -> Path:
    """The same with data of a robot."""
    replay = str(place / "d4rl" / "hopper_medium_replay-v2.hdf5")
    data.main(["make", "hopper-medium-replay", "--steps", "6000", "--out", replay])
    return place


def run_page(page: str, sizes: list[str]) -> dict:
    """Run every block; the names that its Python leaves."""
    names: dict = {}
    short = ["--updates", "3", *sizes]
    for language, block in blocks(page):
        module = re.match(r"# (\w+\.py)\n", block)
        if language == "bash":
            for line in filter(None, block.splitlines()):
                run_command(line, short)
        elif module:
            Path(module[1]).write_text(block, encoding="utf-8")
        else:
            exec(compile(block, page, "exec"), names)
    return names


def test_every_block_runs_from_top_to_bottom(place, sizes):
    names = run_page("README.md", sizes)
    assert names["truncated"] and (place / "sweep.png").is_file()
    assert len(README.splitlines()) < 200


@pytest.mark.parametrize("page", ["training.md", "own_data.md", "troubleshooting.md"])
def test_every_command_of_a_page_runs(quick_start, sizes, page):
    run_page(page, sizes)


def test_every_way_to_evaluate_runs(short_episodes, quick_start, sizes):
    names = run_page("evaluation.md", sizes)
    assert 0 <= names["mean"] <= 300 and (quick_start / "report.html").is_file()


def test_every_command_of_the_tasks_pages_runs(robot, sizes):
    run_page("connect_four.md", sizes)
    run_page("mujoco.md", sizes)


@pytest.mark.filterwarnings("ignore")  # exporters warn of their own future
def test_an_exported_policy_acts_without_the_toolkit(short_episodes, place, sizes):
    names = run_page("export.md", sizes)
    assert names["ended"] and names["earned"] >= 0


def test_every_loop_runs(short_episodes, quick_start, sizes):
    names = run_page("loops.md", sizes)
    assert names["start"].shape == (3,) and names["state"].rows == 3


def test_the_road_from_an_environment_to_a_policy_runs(tmp_path, monkeypatch, sizes):
    from stable_baselines3 import PPO

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(PPO, "learn", lambda self, *_, **__: self)  # untrained agents will do
    names = run_page("own_environment.md", sizes)
    assert names["ended"] and (tmp_path / "cartpole_300" / "policy.json").is_file()
    assert (tmp_path / "evaluation.json").is_file() and (tmp_path / "cartpole.png").is_file()


def run_command(line: str, short: list[str]) -> None:
    """Run a command of ours, shortened, in this process."""
    words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z]+=", word)]
    program, arguments = words[0], words[1:]
    print("$", line)  # shown where it fails
    if program == "make":
        known_to_make(line)
    elif program == "lpt-train":
        if "--extend" in arguments:
            arguments[-1] = "2"
        going_on = {"--resume", "--extend"} & set(arguments)
        assert train.main(arguments if going_on else [*arguments, *short]) == 0
    elif program == "lpt-eval" and "--video" in arguments:  # films need OpenGL
        tyro.cli(evaluation.Arguments, args=arguments)
    elif program == "lpt-eval":
        assert evaluation.main([*arguments, "--episodes", "2"]) == 0
    elif program == "lpt-play":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO("4\nq\n"))
            assert play.main(arguments) == 0
    elif program == "lpt-data":
        few = {"make": ["--steps", "2500"], "record": ["--episodes", "12"]}
        assert data.main([*arguments, *few.get(arguments[0], [])]) == 0
    elif program == "lpt-export":
        assert export.main([*arguments, "--plans", "2"]) == 0
    elif program == "lpt-report":
        assert report.main(arguments) == 0
    elif program == "lpt-info":
        assert info.main(arguments) == 0
    elif program == "lpt-bench":
        run_benchmark(arguments)
    elif program == "lpt-sweep":
        run_sweep(arguments)
    elif program == "torchrun":
        command = [sys.executable, "-m", "torch.distributed.run", *arguments, *short]
        done = subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=300)
        assert done.returncode == 0
    else:
        assert program in NOT_OURS


def run_benchmark(arguments: list[str]) -> None:
    """Measure next to nothing."""
    pytest.importorskip("transformers")
    few = "--rows 9000 --repeats 1 --seconds 0 --episodes 2 --rollout-steps 2".split()
    assert bench.main([*arguments, *few, "--sampler.batch-trajectories", "8"]) == 0


def run_sweep(arguments: list[str]) -> None:
    """Of the sweep one small run is left."""
    whole = yaml.safe_load((ROOT / arguments[0]).read_text(encoding="utf-8"))
    first = {key: whole[key][:1] for key in ("tasks", "algorithms", "seeds")}
    small = {"updates": 3, "sampler": {"batch_trajectories": 8}, "training": {"evaluate_every": 0}}
    path = Path(arguments[0])
    path.parent.mkdir()
    path.write_text(yaml.safe_dump({**first, "settings": small}), encoding="utf-8")
    assert sweep.main(arguments) == 0


def known_to_make(line: str) -> None:
    """Targets and variables exist in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for name in re.findall(r"(\w+)=", line):
        assert re.search(rf"^{name} \??=", makefile, re.MULTILINE)
    command = [*shlex.split(line, comments=True), "-n"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert shown.returncode == 0, shown.stderr


def test_contributors_commands_exist():
    for line in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("make "):
            known_to_make(line)


def test_the_results_table_has_its_markers():
    pages = [(ROOT / "docs" / name).read_text(encoding="utf-8") for name in TABLES]
    for marker in (report.BEGIN, report.END):
        assert [page.count(marker) for page in (README, *pages)] == [1] * (1 + len(TABLES))


def test_links_lead_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    for page in pages:
        links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
        inner = [link for link in links if "://" not in link]
        assert [link for link in inner if not (page.parent / link).exists()] == [], page
