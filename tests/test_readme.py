"""What the README says works: every block runs, from its top to its bottom, and its links exist.

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

from lpt.cli import bench, data, play, report, sweep, train
from lpt.cli import eval as evaluation

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = Path("runs/maze2d-umaze/amortized-seed0")
NOT_OURS = {"python3", "source", "pip", "tensorboard", "bash"}
"""Programs that the README only mentions."""
TABLES = ("results.md", "mujoco.md")
"""Pages in docs/ whose tables `make figures` makes, besides the README's."""


def blocks() -> list[tuple[str, str]]:
    """(language, content) of the code blocks."""
    found = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    assert {language for language, _ in found} == {"bash", "python"}
    return found


@pytest.fixture
def folder(tmp_path, monkeypatch, make_data, flags, lpt_train) -> Path:
    """A working folder with the run of the quick start and a little data."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("LPT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("D4RL_DATASET_DIR", str(tmp_path / "d4rl"))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    replay = str(tmp_path / "d4rl" / "hopper_medium_replay-v2.hdf5")
    assert data.main(["make", "hopper-medium-replay", "--steps", "6000", "--out", replay]) == 0
    umaze = make_data(tmp_path / "d4rl" / "maze2d-umaze-sparse-v1.hdf5")
    assert lpt_train([*flags(umaze, tmp_path / RUN), "--evaluation.sweep", "0", "150"]) == 0
    return tmp_path


def test_every_block_runs_from_top_to_bottom(folder, sizes):
    names: dict = {}
    short = ["--updates", "3", *sizes]
    for language, block in blocks():
        module = re.match(r"# (\w+\.py)\n", block)
        if language == "bash":
            for line in filter(None, block.splitlines()):
                run_command(line, short)
        elif module:
            Path(module[1]).write_text(block, encoding="utf-8")
        else:
            exec(compile(block, "README.md", "exec"), names)
    assert names["truncated"] and 0 <= names["mean"] <= 300


def run_command(line: str, short: list[str]) -> None:
    """Run a command of ours, shortened, in this process."""
    words = [word for word in shlex.split(line, comments=True) if not re.match(r"[A-Z]+=", word)]
    program, arguments = words[0], words[1:]
    print("$", line)  # shown where it fails
    if program == "make":
        known_to_make(line)
    elif program == "lpt-train":
        resuming = "--resume" in arguments
        assert train.main(arguments if resuming else [*arguments, *short]) == 0
    elif program == "lpt-eval" and "--video" in arguments:  # films need OpenGL
        tyro.cli(evaluation.Arguments, args=arguments)
    elif program == "lpt-eval":
        assert evaluation.main([*arguments, "--episodes", "2"]) == 0
    elif program == "lpt-play":
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("sys.stdin", io.StringIO("4\nq\n"))
            assert play.main(arguments) == 0
    elif program == "lpt-data":
        short = ["--steps", "2500"] if arguments[0] == "make" else []
        assert data.main([*arguments, *short]) == 0
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
        assert [page.count(marker) for page in (README, *pages)] == [1, 1, 1]


def test_links_lead_somewhere():
    links = re.findall(r"\]\(([^)#]+)\)", README + (ROOT / "CONTRIBUTING.md").read_text())
    missing = [link for link in links if "://" not in link and not (ROOT / link).exists()]
    assert not missing
