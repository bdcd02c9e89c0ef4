"""Temporary files and folders beside what they become, and the sweeping of dead ones.

Whoever writes a temporary holds a lock on it, which ends with its process. So what can be locked by
another one is of a process that was killed, and is swept by the next that writes in the folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lpt.machine.locks import lock

PREFIX = ".lpt-tmp-"
"""How the names of temporaries begin."""
_TRIES = 9


@contextmanager
def temporary(target: Path, *, folder: bool = False) -> Iterator[Path]:
    """Yield a new file or folder beside `target`; if it is still there at the end, it goes.

    The name ends as that of `target`, which tells many writers what format is meant.
    """
    sweep(target.parent)
    path, handle = _make(target, folder)
    try:
        yield path
    finally:
        remove(path)
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the temporaries in a folder whose processes are gone."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):  # somebody holds it (BlockingIOError), or has removed it meanwhile
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
            try:
                if lock(handle):
                    remove(path)
            finally:
                os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _make(target: Path, folder: bool) -> tuple[Path, int]:
    """Return a temporary's path and the handle that keeps it locked."""
    for _ in range(_TRIES):
        path = target.with_name(f"{PREFIX}{secrets.token_hex(4)}-{target.name[-100:]}")
        if folder:
            path.mkdir()
        flags = os.O_RDONLY if folder else os.O_RDWR | os.O_CREAT | os.O_EXCL
        try:
            handle = os.open(path, flags, 0o666)
        except FileNotFoundError:
            if target.parent.is_dir():  # swept before it was locked
                continue
            raise
        with suppress(BlockingIOError):
            lock(handle)
            if path.exists():
                return path, handle
        os.close(handle)
    raise FileNotFoundError(f"{target.parent}: new temporary files vanish there")
