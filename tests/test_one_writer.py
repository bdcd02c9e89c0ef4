"""One process at a time writes a run."""

import os
import re
import shutil
import signal
import subprocess
import sys

import pytest

from lpt.checkpoint.files import list_checkpoints
from lpt.machine.locks import NAME, FolderLock

pytestmark = pytest.mark.usefixtures("short_episodes")


@pytest.fixture(scope="module")
def finished(short_episodes, umaze, flags, lpt_train, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    assert lpt_train([*flags(umaze, out, 3)]) == 0
    return out


def test_a_folder_has_one_holder_who_is_named(tmp_path):
    first = FolderLock(tmp_path / "run")
    with pytest.raises(BlockingIOError, match=rf"in use by process {os.getpid()} on .*, since 20"):
        FolderLock(tmp_path / "run")
    first.release()
    second = FolderLock(tmp_path / "run")
    second.acquire()  # which it has already
    with pytest.raises(BlockingIOError):
        first.acquire()


def test_an_abandoned_folder_goes_with_what_was_made_for_it(tmp_path):
    FolderLock(tmp_path / "runs" / "task" / "run").abandon()
    assert not list(tmp_path.iterdir())
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "precious").write_text("")
    FolderLock(tmp_path / "run").abandon()
    assert (tmp_path / "run" / "precious").exists()


@pytest.mark.parametrize("trap", ["link", "pipe"])
def test_a_lock_that_is_no_file_is_refused(trap, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("old")
    if trap == "link":
        (tmp_path / NAME).symlink_to(precious)
    else:
        os.mkfifo(tmp_path / NAME)
    with pytest.raises((OSError, ValueError), match=re.escape(NAME)):
        FolderLock(tmp_path)
    assert precious.read_text() == "old"


def test_a_lock_ends_with_its_process(tmp_path):
    code = (
        "import sys, time, pathlib; from lpt.machine.locks import FolderLock\n"
        "lock = FolderLock(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError, match=f"process {holder.pid} on"):
            FolderLock(tmp_path)
        holder.kill()
        holder.wait()
    FolderLock(tmp_path).release()


def test_a_second_run_and_a_second_resume_are_refused(
    umaze, flags, lpt_train, forks, tmp_path, capsys
):
    out = tmp_path / "run"
    saving = ["--training.checkpoint-minutes", "0.001"]
    first = forks.start("lpt.cli.train", *flags(umaze, out, 100_000), *saving)
    first.until(lambda: list_checkpoints(out))
    assert lpt_train(["--resume", str(out)]) == 2
    error = capsys.readouterr().err.strip()
    assert re.fullmatch(rf"lpt-train: {out} is in use by process \d+ on .*stop it", error)
    first.signal(signal.SIGKILL)
    first.wait()
    before = list_checkpoints(out)[-1].name
    again = forks.start("lpt.cli.train", "--resume", out)
    again.until(lambda: f"resumed {out} at update {int(before)}" in again.said)
    again.signal(signal.SIGKILL)
    again.wait()


def test_a_run_that_another_one_is_beginning_is_refused(umaze, flags, lpt_train, tmp_path, capsys):
    holder = FolderLock(tmp_path / "run")
    assert lpt_train(flags(umaze, tmp_path / "run", 3)) == 2
    assert "is in use by process" in capsys.readouterr().err
    assert (tmp_path / "run" / NAME).exists()
    holder.release()  # killed before it had written anything: its folder is free
    assert lpt_train(flags(umaze, tmp_path / "run", 3)) == 0


def test_a_finished_run_is_free(finished, lpt_train):
    FolderLock(finished).release()
    assert lpt_train(["--resume", str(finished)]) == 0


# What a stranger's checkpoint may decide


def test_results_of_a_resumed_run_go_where_its_user_says(
    umaze, tmp_path, flags, lpt_train, capsys, monkeypatch
):
    out, theirs = tmp_path / "run", tmp_path / "theirs"
    assert lpt_train([*flags(umaze, out, 3), "--results", str(theirs)]) == 0
    written = sorted(theirs.rglob("*"))
    assert written
    assert lpt_train(["--resume", str(out)]) == 0
    said = capsys.readouterr().out
    assert sorted(theirs.rglob("*")) == written and list((out / "results").rglob("seed0.json"))
    assert f"started with results in {theirs}" in said and "--results" in said
    assert lpt_train(["--resume", str(out), "--results", str(theirs)]) == 0
    assert sorted(theirs.rglob("*")) != written


def test_a_run_is_where_it_is_opened(finished, tmp_path, lpt_train):
    """The folder of a checkpoint's configuration is not: runs move, and come from others."""
    moved = shutil.copytree(finished, tmp_path / "moved")
    before = {path: path.stat().st_mtime_ns for path in finished.rglob("*")}
    assert lpt_train(["--resume", str(moved)]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in finished.rglob("*")}


@pytest.mark.parametrize("name", ["evaluations.jsonl", "checkpoints", "results/maze2d-umaze"])
def test_links_out_of_a_run_are_refused(name, finished, tmp_path, lpt_train, capsys):
    run, outside = shutil.copytree(finished, tmp_path / "run"), tmp_path / "outside"
    inside = run / name
    if inside.exists():
        inside.rename(outside)
    else:
        outside.write_text('{"updates": 1}\n')
    inside.symlink_to(outside)
    assert lpt_train(["--resume", str(run)]) == 2
    assert f"{inside} is a link to {outside}" in capsys.readouterr().err


def test_the_link_that_wandb_makes_to_its_cache_is_left(finished, tmp_path, lpt_train):
    run, outside = shutil.copytree(finished, tmp_path / "run"), tmp_path / "outside"
    outside.write_text("log")
    logs = run / "wandb" / "run-1" / "logs"
    logs.mkdir(parents=True)
    (logs / "debug-core.log").symlink_to(outside)
    assert lpt_train(["--resume", str(run)]) == 0
    assert outside.read_text() == "log"
