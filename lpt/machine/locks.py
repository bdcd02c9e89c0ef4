"""Locks that end with the process that holds them, however it dies (`flock`)."""

from __future__ import annotations

import os
import platform
import stat
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: nobody is kept out there
    fcntl = None  # type: ignore[assignment]

NAME = ".lock"
"""The file in a folder by which one process holds it."""


def lock(handle: int) -> bool:
    """Lock an open file or folder until it is closed or this process is gone.

    Returns:
        Whether there are such locks on this machine and file system.

    Raises:
        BlockingIOError: somebody else has locked it.
    """
    if fcntl is None:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        return False
    return True


class FolderLock:
    """A folder that this process alone writes in, while it holds the lock."""

    def __init__(self, folder: Path) -> None:
        """Take the folder, which is made if it is missing.

        Raises:
            BlockingIOError: another process, or something else in this one, holds it.
            OSError: nothing can be written there.
        """
        self.folder = folder
        self._handle: int | None = None
        self._made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self.acquire()
        except BlockingIOError:
            raise
        except OSError:
            self.abandon()
            raise

    def acquire(self) -> None:
        """Take the folder again, if it is not held; raises as `FolderLock`."""
        if self._handle is not None:
            return
        handle = self._open(self.folder / NAME)
        while not os.path.samestat(os.fstat(handle), os.stat(self.folder / NAME)):
            os.close(handle)  # abandoned by another process just now
            handle = self._open(self.folder / NAME)
        self._handle = handle

    def _open(self, path: Path) -> int:
        """Return the lock's file, open, locked and naming this process."""
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        handle = os.open(path, flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise ValueError(f"{path} is no file: remove it")
            lock(handle)
            os.ftruncate(handle, 0)
            since = time.strftime("%Y-%m-%d %H:%M:%S")
            os.write(
                handle, f"process {os.getpid()} on {platform.node()}, since {since}\n".encode()
            )
        except BlockingIOError:
            holder = path.read_text(encoding="utf-8", errors="replace").strip()
            os.close(handle)
            raise BlockingIOError(
                f"{self.folder} is in use by {holder[:200] or 'another process'}: wait until that "
                "has ended, or stop it"
            ) from None
        except BaseException:
            os.close(handle)
            raise
        return handle

    def release(self) -> None:
        """Let others have the folder."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def abandon(self) -> None:
        """Release a folder in which nothing came to be, and remove what was made for it."""
        if {path.name for path in self.folder.glob("*")} <= {NAME}:
            (self.folder / NAME).unlink(missing_ok=True)
            for place in self._made:
                try:
                    place.rmdir()
                except OSError:  # somebody else uses it by now
                    break
        self.release()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()
