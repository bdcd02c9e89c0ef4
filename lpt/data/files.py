"""Writing files so that an interrupted write leaves nothing half done."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_write(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[Path]:
    """Yields a temporary path beside `path` that becomes `path` when the block succeeds.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False (checked before and after).
    """
    target = Path(path)
    check_absent(target, overwrite)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        check_absent(target, overwrite)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def check_absent(path: Path, overwrite: bool) -> None:
    """Raises FileExistsError if `path` exists and may not be overwritten."""
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{path} already exists and is not overwritten: name another file, or pass --overwrite "
            "(overwrite=True)"
        )
