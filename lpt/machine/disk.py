"""What a disk may refuse: one line that says which file, why, and how to go on."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from lpt.machine.temporaries import temporary

_FULL = (errno.ENOSPC, errno.EDQUOT)
_REASONS = {
    errno.EFBIG: "files may not grow that large here (ulimit -f): raise the limit",
    errno.EROFS: "the disk is read-only: name a place on another one",
    errno.EACCES: "there is no right to write there: name another place",
    errno.EPERM: "there is no right to write there: name another place",
    errno.ENOTDIR: "a part of its path is a file: name another place",
    errno.EISDIR: "it is a folder: name a file",
    errno.ENAMETOOLONG: "the name is too long: give a shorter one",
    errno.ELOOP: "a part of its path is a link: remove it",
    errno.EIO: "the disk fails: name a place on another one",
}


class DiskError(OSError):
    """A file or folder cannot be written; the message is one line, with the mend."""


@contextmanager
def writing(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say in one line what the disk refuses while the block writes a file or folder, `path`.

    Raises:
        DiskError: the disk is full, read-only or the like, whichever library noticed it.
    """
    try:
        yield
    except DiskError:
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        number = _number(error)
        if number not in _REASONS and number not in _FULL:
            raise
        refused = DiskError(f"cannot write {path}: {_reason(number, Path(path))}")
        refused.errno = number
        raise refused from error


def check_writable(path: str | os.PathLike[str], *, folder: bool = False) -> None:
    """Raise an error if a file, or a `folder`, cannot be made at `path`; for before long work.

    Raises:
        DiskError: nothing can be written there, or no more than nothing.
        ValueError: something else than a file, or than a folder, is there already.
    """
    path = Path(path)
    fits = path.is_dir() if folder else path.is_file()
    if path.exists() and not fits:
        kind = "folder" if folder else "file"
        raise ValueError(f"cannot write {path}: it is there and no {kind}; name another one")
    with writing(path), temporary(_first_existing(path.parent) / path.name) as probe:
        probe.write_bytes(bytes(4096))
        flush(probe)


def check_room(folder: str | os.PathLike[str], size: int) -> None:
    """Raise an error if a file of `size` bytes cannot be written in a folder.

    Raises:
        DiskError: there is not enough room, or files may not be so large.
    """
    folder = Path(folder)
    with writing(folder), temporary(folder / "room") as probe, open(probe, "wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, max(1, size))


def flush(path: Path) -> None:
    """Force a file, or a folder with all that is in it, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            flush(child)
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_entry(path: Path) -> None:
    """Force to the disk that `path` is where it is: the entry of its folder, after a rename."""
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _first_existing(folder: Path) -> Path:
    return next((place for place in (folder, *folder.parents) if place.exists()), folder)


def _number(error: Exception) -> int | None:
    """Return the system's number of an error, also where a library only has it in its text."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    found = re.search(r"os error (\d+)|errno = (\d+)", str(error))
    return int(found[1] or found[2]) if found else None


def _reason(number: int | None, path: Path) -> str:
    if number in _FULL:
        place = _first_existing(path if path.is_dir() else path.parent)
        free = shutil.disk_usage(place).free / 1e6
        return f"the disk is full ({free:.1f} MB free in {place}): make room"
    return _REASONS[number or 0]
