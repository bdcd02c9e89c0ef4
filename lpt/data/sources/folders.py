"""The folders on this machine in which data are looked for and kept."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from lpt.data.tasks import Task


def d4rl_folder() -> Path:
    """Return D4RL's cache: `D4RL_DATASET_DIR`, or `~/.d4rl/datasets`."""
    return Path(os.environ.get("D4RL_DATASET_DIR") or "~/.d4rl/datasets").expanduser()


def data_folder() -> Path:
    """Return where regenerated data are kept: `LPT_DATA_DIR`, or `~/.cache/lpt/datasets`."""
    return Path(os.environ.get("LPT_DATA_DIR") or "~/.cache/lpt/datasets").expanduser()


def spare_folder() -> Path | None:
    """Return where regenerated data go if `data_folder` cannot be written; it need not be there.

    None if something of that name is there that is not this user's folder.
    """
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"lpt-datasets-{user}"
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return folder
    return folder if stat.S_ISDIR(found.st_mode) and found.st_uid == user else None


def regenerated_path(task: Task, steps: int | None = None, seed: int = 0) -> Path:
    """Return where the regenerated data of a task are kept; every option is in the name."""
    return data_folder() / task.file_name(steps=steps, seed=seed)
