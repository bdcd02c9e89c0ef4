"""A disk that is full, read-only or slow to keep what it was given: one line, nothing lost."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.full_disk import largest_file

from lpt.checkpoint.files import load_policy_files, save_checkpoint, save_policy
from lpt.cli import data as lpt_data
from lpt.cli.eval import main as lpt_eval
from lpt.cli.report import main as lpt_report
from lpt.data import load
from lpt.machine.disk import DiskError, check_room, check_writable
from lpt.machine.files import atomic_folder, write_text
from lpt.machine.temporaries import PREFIX
from lpt.reporting.results import save_result
from lpt.training.events import EventLog

pytestmark = pytest.mark.usefixtures("short_episodes")


def names(folder: Path) -> list[str]:
    """All that lies below a folder, hidden things too."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def last_line(capsys):
    """`last_line()`: what a command said at last, which must be no traceback."""

    def read() -> str:
        said = capsys.readouterr().err
        assert "Traceback" not in said
        return said.splitlines()[-1]

    return read


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """A folder on a disk of 256 kB; only root may mount one."""
    place = tmp_path_factory.mktemp("full")
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("no right to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


# Files and folders


def test_a_text_that_does_not_fit_leaves_the_old_one(tmp_path):
    path = write_text("old", tmp_path / "a.txt")
    with largest_file(1000), pytest.raises(DiskError) as refused:
        write_text("new" * 1000, path, overwrite=True)
    text = str(refused.value)
    assert re.fullmatch(rf"cannot write {path}: files may not grow .*: raise the limit", text)
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_a_full_disk_says_how_much_there_is(full):
    write_text("old", full / "a.txt")
    with pytest.raises(DiskError, match=rf"disk is full \(0\.\d MB free in {full}\): make room"):
        write_text("new" * 100_000, full / "a.txt", overwrite=True)
    with pytest.raises(DiskError, match=rf"cannot write {full}: .* free in {full}\)"):
        check_room(full, 300_000)
    assert names(full) == ["a.txt"] and (full / "a.txt").read_text() == "old"
    check_writable(full / "b.txt")


def test_a_folder_that_does_not_fit_leaves_the_old_one(tmp_path):
    with atomic_folder(tmp_path / "a", "mark") as made:
        (made / "mark").write_text("old")
    with (
        largest_file(1000),
        pytest.raises(DiskError),
        atomic_folder(tmp_path / "a", "mark", overwrite=True) as made,
    ):
        (made / "mark").write_bytes(bytes(2000))
    assert names(tmp_path) == ["a", "a/mark"] and (tmp_path / "a/mark").read_text() == "old"
    with atomic_folder(tmp_path / "a", "mark", overwrite=True) as made:
        (made / "mark").write_text("new")
    assert names(tmp_path) == ["a", "a/mark"] and (tmp_path / "a/mark").read_text() == "new"


def test_folders_are_replaced_where_the_system_cannot_exchange_them(tmp_path, monkeypatch):
    monkeypatch.setattr("lpt.machine.files._exchange", lambda one, two: False)
    for text in ("old", "new"):
        with atomic_folder(tmp_path / "a", "mark", overwrite=True) as made:
            (made / "mark").write_text(text)
    assert names(tmp_path) == ["a", "a/mark"] and (tmp_path / "a/mark").read_text() == "new"


def test_what_is_renamed_is_on_the_disk_before_and_its_name_after(tmp_path, monkeypatch):
    done = []

    def noted(kind, function):
        def call(first, *others):
            handle = isinstance(first, int)
            place = os.readlink(f"/proc/self/fd/{first}") if handle else str(first)
            done.append((kind, Path(place).name.startswith(PREFIX), Path(place).is_dir()))
            return function(first, *others)

        return call

    monkeypatch.setattr(os, "fsync", noted("fsync", os.fsync))
    monkeypatch.setattr(os, "replace", noted("replace", os.replace))
    write_text("text", tmp_path / "a.txt")
    assert done == [("fsync", True, False), ("replace", True, False), ("fsync", False, True)]
    done.clear()
    with atomic_folder(tmp_path / "a", "mark") as made:
        (made / "mark").write_text("")
    assert [kind for kind, _, _ in done] == ["fsync", "fsync", "replace", "fsync"]


def test_places_that_cannot_be_written_are_told_beforehand(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    with pytest.raises(DiskError, match="a part of its path is a file: name another place"):
        check_writable(tmp_path / "file" / "a.txt")
    with pytest.raises(ValueError, match="no file; name another one"):
        check_writable(tmp_path / "folder")
    with pytest.raises(ValueError, match="no file; name another one"):
        check_writable(Path("/dev/full"))
    with pytest.raises(ValueError, match="no folder; name another one"):
        check_writable(tmp_path / "file", folder=True)
    check_writable(tmp_path / "to" / "be" / "made.txt")
    assert names(tmp_path) == ["file", "folder"]


def test_temporary_files_of_the_dead_are_swept_and_those_of_the_living_are_not(forks, tmp_path):
    target = tmp_path / "a.txt"
    alive, dead = (forks.start("helpers.writer", target) for _ in range(2))
    for writer in (alive, dead):
        writer.until(lambda it=writer: "writing" in it.said)
    assert len(names(tmp_path)) == 2
    dead.signal(signal.SIGKILL)
    dead.wait()
    write_text("whole", target)
    assert sorted(name.startswith(PREFIX) for name in names(tmp_path)) == [False, True]
    alive.signal(signal.SIGKILL)
    alive.wait()
    write_text("whole", target, overwrite=True)
    assert names(tmp_path) == ["a.txt"] and target.read_text() == "whole"


# Data


@pytest.mark.parametrize("name", ["a.hdf5", "a.npz", "lpt/a-v0"])
def test_made_data_that_do_not_fit(name, tmp_path, monkeypatch, last_line):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    place = name if name.startswith("lpt/") else str(tmp_path / name)
    kind = {"a.hdf5": "d4rl", "a.npz": "npz", "lpt/a-v0": "minari"}[name]
    command = ["make", "maze2d-umaze", "--steps", "900", "--format", kind, "--out", place]
    assert lpt_data.main(command) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    more = ["--steps", "20000", "--overwrite"]
    with largest_file(150_000):
        assert lpt_data.main([*command, *more]) == 2
    assert re.match(r"lpt-data: cannot write .*: files may not grow", last_line())
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_hdf5_on_a_full_disk_ends_no_process(full, last_line):
    command = ["make", "maze2d-umaze", "--steps", "20000", "--out", str(full / "a.hdf5")]
    before = names(full)
    assert lpt_data.main(command) == 2
    assert "the disk is full" in last_line() and names(full) == before


def test_made_games_that_do_not_fit(tmp_path, last_line):
    command = ["make", "connect-four", "--steps", "400", "--out", str(tmp_path / "a.games")]
    with largest_file(500):
        assert lpt_data.main(command) == 2
    assert "files may not grow" in last_line() and not names(tmp_path)


@pytest.mark.parametrize("ending", [".hdf5", ".npz"])
def test_converting_blames_the_disk_and_not_the_source(ending, tmp_path, make_data, last_line):
    source, folder = make_data(tmp_path / f"a{ending}"), tmp_path / "a.lpt"
    with largest_file(20_000):
        assert lpt_data.main(["convert", str(source), str(folder)]) == 2
    line = last_line()
    assert "files may not grow" in line and "damaged" not in line and source.name not in line
    assert names(tmp_path) == [source.name]


def test_data_that_cannot_be_kept_in_the_cache_are_kept_elsewhere(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LPT_DATA_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    lines = []
    first = load("maze2d-umaze", source="regenerated", steps=2000, log=lines.append)
    assert "cannot write" in lines[1] and "kept in" in lines[1]
    assert str(tmp_path / "lpt-datasets-") in first.provenance.details["path"]
    again = load("maze2d-umaze", source="regenerated", steps=2000, log=lines.append)
    assert "regenerated before" in lines[-1]
    assert first.provenance.fingerprint == again.provenance.fingerprint
    (spare,) = tmp_path.glob("lpt-datasets-*")
    assert spare.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(spare)
    spare.symlink_to(tmp_path)  # not a folder of this user's making
    with pytest.raises(DiskError, match="cannot write"):
        load("maze2d-umaze", source="regenerated", steps=2000, log=None)


# Runs


@pytest.fixture(scope="module")
def finished(short_episodes, umaze, flags, lpt_train, tmp_path_factory):
    out = tmp_path_factory.mktemp("finished") / "run"
    assert lpt_train([*flags(umaze, out, 3)]) == 0
    return out


def test_a_checkpoint_that_does_not_fit_leaves_the_one_before(tmp_path, make_metadata):
    state = {"weight": torch.ones(3)}
    folder = save_checkpoint(tmp_path, 1, state, make_metadata(updates=1), {}, {})
    best = save_policy(tmp_path / "best", state, make_metadata())
    large = {"weight": torch.ones(30_000)}
    with largest_file(50_000):
        with pytest.raises(DiskError, match=r"cannot write .*00000002: files may not grow"):
            save_checkpoint(tmp_path, 2, large, make_metadata(updates=2), {}, {})
        with pytest.raises(DiskError):
            save_policy(best, large, make_metadata())
    assert load_policy_files(folder)[1].updates == 1 and len(load_policy_files(best)[0]) == 1
    assert sorted(os.listdir(tmp_path)) == ["best", "checkpoints"]
    assert os.listdir(tmp_path / "checkpoints") == ["00000001"]


def test_a_training_ends_in_one_line_when_it_cannot_save(
    umaze, finished, tmp_path, flags, lpt_train, last_line
):
    new, old = tmp_path / "new", shutil.copytree(finished, tmp_path / "old")
    with largest_file(100_000):
        assert lpt_train(flags(umaze, new, 3)) == 2
    why = "lpt-train: cannot write .*00000003: files may not grow.*; "
    assert re.fullmatch(f"{why}nothing had been saved yet: start again", last_line())
    assert not os.listdir(new / "checkpoints")
    with largest_file(100_000):
        assert lpt_train(["--resume", str(old)]) == 2
    assert re.match(
        f"{why}.*00000003 is whole: continue with lpt-train --resume {old}", last_line()
    )


def test_a_run_that_cannot_be_written_does_not_begin(umaze, tmp_path, flags, lpt_train, last_line):
    (tmp_path / "file").write_text("")
    for out, more in (
        (tmp_path / "file" / "run", []),
        (tmp_path / "run", ["--results", str(tmp_path / "file" / "results")]),
    ):
        assert lpt_train([*flags(umaze, out, 3), *more]) == 2
        assert "cannot write" in last_line() and names(tmp_path) == ["file"]


@pytest.mark.parametrize("flag", ["--out", "--plot", "--video"])
def test_an_evaluation_that_cannot_be_written_does_not_begin(
    flag, finished, tmp_path, monkeypatch, last_line
):
    monkeypatch.setattr("lpt.evaluation.rollout.evaluate", None)
    (tmp_path / "file").write_text("")
    ending = {"--out": "json", "--plot": "png", "--video": "gif"}[flag]
    assert lpt_eval([str(finished), flag, str(tmp_path / "file" / f"a.{ending}")]) == 2
    assert "a part of its path is a file" in last_line()


@pytest.mark.parametrize("command", [["table", "--into"], ["curves"], ["sweeps"], ["data"]])
def test_a_report_is_written_to_files_only(command, finished, last_line):
    more = {"table": ["--results", str(finished)], "curves": [str(finished)], "sweeps": ["a.json"]}
    place = ["/dev/zero", *more.get(command[0], ["maze2d-umaze"])]
    assert lpt_report([*command, *place]) == 2
    assert (
        last_line()
        == "lpt-report: cannot write /dev/zero: it is there and no file; name another one"
    )


def test_a_result_that_does_not_fit_leaves_the_one_before(tmp_path, make_metadata, make_evaluation):
    args = (make_metadata(), "lpt", make_evaluation(np.ones(3)))
    path = save_result(tmp_path, *args)
    before = path.read_bytes()
    with largest_file(500), pytest.raises(DiskError, match=rf"cannot write {path}: files may not"):
        save_result(tmp_path, *args)
    assert [p.name for p in path.parent.iterdir()] == [path.name] and path.read_bytes() == before
    assert save_result(tmp_path, *args, wall_seconds=1.0) == path
    assert path.with_name(f"previous-1-{path.name}").read_bytes() == before
    assert json.loads(path.read_text())["wall_seconds"] == 1.0


def test_training_goes_on_without_tensorboard(tmp_path, capsys):
    log = EventLog(tmp_path)
    with largest_file(2000):
        for update in range(200):
            log.scalars({"a": 1.0}, update)
            log.text("config", "word " * 100)
        log.close()
    said = capsys.readouterr().err
    assert said.count("TensorBoard's log ends here, training goes on: cannot write") == 1
    assert len(said.splitlines()) == 1
