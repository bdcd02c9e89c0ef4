"""What a run shows while it runs and when it is over."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lpt.cli.eval import main as lpt_eval

pytestmark = pytest.mark.usefixtures("short_episodes")
ROOT = Path(__file__).parents[1]
EVALUATING = "--training.evaluate-every 10 --training.evaluate-episodes 2".split()


@pytest.fixture(scope="module")
def run(short_episodes, umaze, flags, lpt_train, tmp_path_factory):
    out = tmp_path_factory.mktemp("shown") / "run"
    sweep = ["--evaluation.sweep", "0", "50"]
    assert lpt_train([*flags(umaze, out, 20), *EVALUATING, *sweep]) == 0
    return out


def events(folder) -> EventAccumulator:
    read = EventAccumulator(str(folder), size_guidance={"images": 0})
    read.Reload()
    return read


def test_evaluations_show_length_success_and_episodes(run):
    tags = events(run).Tags()
    wanted = {"evaluation/return", "evaluation/length", "evaluation/predicted_return"}
    assert wanted <= set(tags["scalars"]) and "evaluation/episodes" in tags["images"]
    assert [p.step for p in events(run).Images("evaluation/episodes")] == [10, 20]


def test_a_finished_run_is_a_row_of_the_table_of_settings(run):
    read = events(run)
    assert "_hparams_/session_start_info" in read.summary_metadata
    assert read.Scalars("final/lpt last")[0].step == 20
    assert [p.step for p in read.Scalars("loss/total")] == [10, 20]  # nothing was voided


def test_a_sweep_goes_to_the_runs_tensorboard(run):
    assert lpt_eval([str(run), "--sweep", "--episodes", "2"]) == 0
    read = events(run)
    assert "evaluation/sweep" in read.Tags()["images"] and len(read.Scalars("loss/total")) == 2


def test_every_scalar_is_explained(run):
    text = (ROOT / "docs" / "scalars.md").read_text(encoding="utf-8")
    explained = set(re.findall(r"^\| `([\w/<>]+)`", text, re.MULTILINE))
    tags = {tag for tag in events(run).Tags()["scalars"] if not tag.startswith("final/")}
    kinds = r'"((?:loss|optim|chain|plan|speed|evaluation)/[a-z_]+)"'
    for path in (ROOT / "lpt").rglob("*.py"):  # other engines have others
        tags |= set(re.findall(kinds, path.read_text(encoding="utf-8")))
    images = {"evaluation/episodes", "evaluation/sweep"}
    assert tags - images <= explained and "final/<result>" in explained


def test_folder_time_and_next_command_are_printed(umaze, tmp_path, capsys, flags, lpt_train):
    out = tmp_path / "run"
    assert lpt_train(flags(umaze, out, 12)) == 0
    said = capsys.readouterr().out
    assert f"run: {out} (tensorboard --logdir {out})" in said
    assert re.search(r"about \d+ (s|min) for the other 1 updates", said)
    assert f"next: lpt-eval {out}" in said


@pytest.mark.skipif(find_spec("wandb") is not None, reason="wandb is installed")
def test_a_missing_tracker_is_told_before_anything_begins(
    umaze, tmp_path, capsys, flags, lpt_train
):
    assert lpt_train([*flags(umaze, tmp_path / "run", 3), "--track", "wandb"]) == 2
    error = capsys.readouterr().err
    assert "pip install 'lpt-toolkit[wandb]'" in error and not (tmp_path / "run").exists()


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
@pytest.mark.filterwarnings("ignore")
def test_wandb_mirrors_the_run_without_a_network(umaze, tmp_path, monkeypatch, flags, lpt_train):
    monkeypatch.setenv("WANDB_SILENT", "true")
    out = tmp_path / "run"
    assert lpt_train([*flags(umaze, out, 12), *EVALUATING, "--track", "wandb"]) == 0
    files = list((out / "wandb").glob("offline-run-*/run-*.wandb"))
    content = b"".join(path.read_bytes() for path in files)
    assert len(files) == 2 and b"loss/total" in content and b"evaluation/return" in content
