"""Writing files so that an interrupted write leaves nothing half done."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path` that becomes `path` when the block succeeds.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False (checked before and after).
    """
    target = Path(path)
    check_absent(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The ending stays: it tells many writers which format is meant.
    temporary = target.with_name(f".tmp-{os.getpid()}-{target.name}")
    try:
        yield temporary
        check_absent(target, overwrite)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(text: str, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
    """Write a text file atomically; raises as `atomic_write`."""
    with atomic_write(path, overwrite=overwrite) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return Path(path)


def write_json(
    record: dict[str, Any], path: str | os.PathLike[str], *, overwrite: bool = False
) -> Path:
    """Write a JSON file atomically; raises as `atomic_write`, and ValueError for NaN."""
    text = json.dumps(record, indent=1, allow_nan=False) + "\n"
    return write_text(text, path, overwrite=overwrite)


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
    """
    target = Path(path)
    check_replaceable(target, mark, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    temporary.mkdir()
    try:
        yield temporary
        check_replaceable(target, mark, overwrite)
        if target.exists():
            os.replace(target, old)
        os.replace(temporary, target)
    finally:
        if old.exists() and not target.exists():
            os.replace(old, target)
        for folder in (temporary, old):
            shutil.rmtree(folder, ignore_errors=True)


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
