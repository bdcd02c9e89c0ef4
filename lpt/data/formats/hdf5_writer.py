"""Writing HDF5 files on a disk that may be full."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from lpt.machine.files import atomic_write


@contextmanager
def create_hdf5(path: str | os.PathLike[str], *, overwrite: bool = False) -> Iterator[h5py.File]:
    """Yield a new HDF5 file, which appears at `path` when the block succeeds.

    Raises:
        FileExistsError: `path` exists and `overwrite` is False.
        DiskError: the disk is full or the like; what was at `path` is as it was.
    """
    with atomic_write(path, overwrite=overwrite) as made, _Deferring(made) as raw:
        with h5py.File(raw, "w") as file:
            yield file
        raw.check()


class _Deferring(io.FileIO):
    """A file whose writes never fail: `check` raises what they would have raised.

    HDF5 brings the whole process down where a file that it closes cannot be written.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+b")
        self._failure: BaseException | None = None

    def check(self) -> None:
        """Raise what a write has raised."""
        if self._failure is not None:
            raise self._failure

    def write(self, data: Any) -> int:
        """Write all of the bytes, until the first failure, which is kept for `check`."""
        view, done = memoryview(data).cast("B"), 0
        try:
            while self._failure is None and done < len(view):
                done += super().write(view[done:]) or 0
        except BaseException as error:  # Ctrl-C too must not reach HDF5
            self._failure = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Change the size, as `write` does its work."""
        try:
            return super().truncate(size)
        except BaseException as error:
            self._failure = self._failure or error
            return size or 0
