"""The commit that a result was made with."""

import subprocess

from lpt.machine.source import ROOT, _commit, source_commit
from lpt.version import __version__


def git(folder, *arguments):
    own = ["-c", "user.name=a", "-c", "user.email=a@b"]
    command = ["git", "-C", str(folder), *own, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_checkout_has_its_commit_and_says_if_it_was_edited(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "lpt").mkdir()
    code = tmp_path / "lpt" / "code.py"
    code.write_text("a = 1\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert _commit(tmp_path) == commit
    (tmp_path / "notes").write_text("beside the code")
    assert _commit(tmp_path) == commit
    code.write_text("a = 2\n")
    assert _commit(tmp_path) == f"{commit}+changes"


def test_elsewhere_it_is_the_version(tmp_path, monkeypatch):
    assert _commit(tmp_path) is None
    (tmp_path / ".git").write_text("not git's")
    assert _commit(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _commit(ROOT) is None  # no git
    source_commit.cache_clear()
    assert source_commit() == f"lpt-toolkit {__version__}"
    source_commit.cache_clear()
