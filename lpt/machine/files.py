"""Writing files so that an interrupted write leaves nothing half done."""

from __future__ import annotations

import ctypes
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lpt.machine.disk import flush, flush_entry, writing
from lpt.machine.temporaries import remove, temporary

OLD = ".old-"
"""How the name of a folder begins that is being replaced, see `put_folder`."""


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` when the block succeeds.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False (checked before and after).
        DiskError: the disk is full or the like; what was at `path` is as it was.
    """
    target = Path(path)
    check_absent(target, overwrite)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary(target) as made:
            yield made
            flush(made)
            check_absent(target, overwrite)
            os.replace(made, target)
        flush_entry(target)


def write_text(text: str, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a text file atomically; raises as `atomic_write`."""
    with atomic_write(path, overwrite=overwrite) as made:
        made.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(
    record: dict[str, Any], path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a JSON file atomically; raises as `atomic_write`, and ValueError for NaN."""
    return write_text(json_text(record), path, overwrite=overwrite)


def json_text(record: dict[str, Any]) -> str:
    """Return what `write_json` writes; raises ValueError for NaN."""
    return json.dumps(record, indent=1, allow_nan=False) + "\n"


@contextmanager
def atomic_folder(
    path: str | os.PathLike[str], mark: str, *, overwrite: bool = False
) -> Iterator[Path]:
    """Yield a temporary folder beside `path` that becomes `path` when the block succeeds.

    Args:
        path: the folder to make.
        mark: name of a file that every such folder holds; nothing else is ever replaced.
        overwrite: replace such a folder.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False, or it does not hold `mark`.
        DiskError: the disk is full or the like; what was at `path` is as it was.
    """
    target = Path(path)
    check_replaceable(target, mark, overwrite)
    with writing(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with temporary(target, folder=True) as made:
            yield made
            flush(made)
            check_replaceable(target, mark, overwrite)
            put_folder(made, target)


def put_folder(made: Path, target: Path) -> None:
    """Rename a whole folder to its place, where another one may be; `made` is gone then.

    Both change places at once where the system can do that. Elsewhere the old one is called
    `.old-NAME` between two renames.
    """
    if not target.exists():
        os.replace(made, target)
    elif not _exchange(made, target):
        old = target.with_name(OLD + target.name)
        remove(old)
        os.replace(target, old)
        try:
            os.replace(made, target)
        except BaseException:
            os.replace(old, target)
            raise
        remove(old)
    flush_entry(target)
    remove(made)


def _exchange(one: Path, two: Path) -> bool:
    """Have two folders change places, and return whether the system can (Linux, most disks)."""
    here, exchange = -100, 2  # AT_FDCWD and RENAME_EXCHANGE
    rename = getattr(ctypes.CDLL(None), "renameat2", None) if os.name == "posix" else None
    names = os.fsencode(one), os.fsencode(two)
    return rename is not None and rename(here, names[0], here, names[1], exchange) == 0


def check_absent(path: Path, overwrite: bool) -> None:
    """Raise FileExistsError if `path` exists and may not be overwritten."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} already exists and is not overwritten: name another file, or pass --overwrite "
            "(overwrite=True)"
        )


def check_replaceable(path: Path, mark: str, overwrite: bool) -> None:
    """Raise FileExistsError if a folder may not be replaced, see `atomic_folder`."""
    check_absent(path, overwrite)
    if path.exists() and not (path / mark).is_file():
        raise FileExistsError(f"{path} is no folder with a {mark}: nothing else is overwritten")
