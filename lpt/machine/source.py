"""Which code runs: the commit of the checkout, so that a result says how to come by it."""

from __future__ import annotations

import os
import subprocess
from functools import lru_cache
from pathlib import Path

from lpt.version import __version__

ROOT = Path(__file__).resolve().parents[2]
"""Of the checkout; for an installed package the folder that holds it."""
PARTS = ("lpt", "envs", "configs")
"""What decides a result, of a checkout."""


@lru_cache(maxsize=1)
def source_commit() -> str:
    """Return the commit of the code that runs, with `+changes` if it was edited since.

    Outside of a checkout, and where git does not answer, it is the package's version. It is asked
    for once: what is loaded stays as it is while others commit.
    """
    return _commit(ROOT) or f"lpt-toolkit {__version__}"


def _commit(root: Path) -> str | None:
    if not (root / ".git").exists():  # an installed package may lie in somebody else's repository
        return None
    commit = _git(root, "rev-parse", "HEAD")
    if not commit:
        return None
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", *PARTS)
    return f"{commit}+changes" if changed else commit


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints, None if it fails or is not there."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    command = ["git", "-C", str(root), "--no-optional-locks", *arguments]
    try:
        done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
