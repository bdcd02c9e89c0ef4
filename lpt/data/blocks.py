"""Arrays that may be larger than memory: read a block at a time, copied into files.

Everything here takes arrays in memory and memory maps alike. A map's pages count as this process's
memory once they have been read, until they are let go of (`release`); reading them again is cheap,
because the operating system keeps what it has room for.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from itertools import pairwise
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import DTypeLike

from lpt.machine.disk import writing
from lpt.machine.temporaries import temporary

Allocate = Callable[[tuple[int, ...], DTypeLike], np.ndarray]
"""Makes an array of a shape and type, to be filled: `numpy.empty`, or `scratch` in a folder."""

_BLOCK_BYTES = 1 << 24
_BLOCK_STEPS = 1 << 20


def blocks(array: np.ndarray, *others: np.ndarray) -> Iterator[slice]:
    """Yield slices over the rows of `array`, 16 MB of it each; maps are let go of after each.

    Args:
        array: `[S, ...]`.
        others: maps that the caller reads or writes meanwhile.
    """
    rows = max(1, _BLOCK_BYTES // max(1, array.itemsize * prod(array.shape[1:])))
    for start in range(0, len(array), rows):
        yield slice(start, start + rows)
        release(array, *others)


def trajectory_blocks(offsets: np.ndarray) -> Iterator[slice]:
    """Yield slices over trajectories, each of about a million steps (or one trajectory).

    Args:
        offsets: `[n+1]`, strictly increasing.
    """
    cuts = np.searchsorted(offsets, np.arange(0, offsets[-1], _BLOCK_STEPS))
    for first, end in pairwise(np.unique([*cuts, len(offsets) - 1]).tolist()):
        yield slice(first, end)


def extent(array: np.ndarray) -> tuple[float, float]:
    """Return the smallest and the largest entry of `array` `[S, ...]`, S at least 1."""
    ends = [(array[rows].min(), array[rows].max()) for rows in blocks(array)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def select(array: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return the rows of `array` `[S, ...]` where `keep` `[S]` is True.

    Raises:
        DiskError: as `empty_beside`.
    """
    if _map(array) is None:
        return np.asarray(array[keep])
    chosen = empty_beside(array, (int(np.count_nonzero(keep)), *array.shape[1:]), array.dtype)
    end = 0
    for rows in blocks(array, chosen):
        part = array[rows][keep[rows]]
        chosen[end : end + len(part)] = part
        end += len(part)
    return chosen


def empty_beside(array: np.ndarray, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return an array to fill: in memory, or for a memory map as `scratch` in the map's folder.

    Where that folder cannot be written, the system's temporary folder is used (`TMPDIR`).

    Raises:
        DiskError: there is no room on the disk.
    """
    found = _map(array)
    if found is None:
        return np.empty(shape, dtype)
    folder = Path(found.filename or "").parent
    return scratch(folder if os.access(folder, os.W_OK) else None, shape, dtype)


def scratch(folder: Path | None, shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Return a map to fill, of a file that has no name and goes when the array does.

    Args:
        folder: on which disk; None takes the system's temporary folder (`TMPDIR`).
        shape: of the array.
        dtype: of the array.

    Raises:
        DiskError: there is no room on the disk, or the folder cannot be written.
    """
    place = Path(tempfile.gettempdir()) if folder is None else folder
    with writing(place), temporary(place / "scratch") as path, open(path, "w+b") as file:
        if hasattr(os, "posix_fallocate"):  # a full disk is told here, not by a crash later
            size = prod(shape) * np.dtype(dtype).itemsize
            os.posix_fallocate(file.fileno(), 0, max(1, size))
        return np.memmap(file, dtype, mode="w+", shape=shape)


def release(*arrays: np.ndarray) -> None:
    """Let go of the pages of memory maps that have been read or written; arrays are untouched."""
    for array in arrays:
        found = _map(array)
        # A private map ("c") would lose what was written to it.
        if found is None or found.mode == "c" or not hasattr(mmap, "MADV_DONTNEED"):
            continue
        if isinstance(found.base, mmap.mmap):
            found.base.madvise(mmap.MADV_DONTNEED)


def read_scattered(*arrays: np.ndarray) -> None:
    """Tell the operating system not to read ahead in maps of which memory holds no more than half.

    Reading ahead fills memory soonest, but where little is found there again it only costs time:
    random batches then came four times as fast without it.
    """
    if not hasattr(os, "sysconf") or not hasattr(mmap, "MADV_RANDOM"):
        return
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for array in arrays:
        found = _map(array)
        if found is not None and found.nbytes > 2 * memory and isinstance(found.base, mmap.mmap):
            found.base.madvise(mmap.MADV_RANDOM)


def _map(array: np.ndarray) -> np.memmap | None:
    """Return the memory map that `array` is a view of, None if it lies in memory."""
    found: np.memmap | None = None
    owner: object = array
    while isinstance(owner, np.ndarray):
        found = owner if isinstance(owner, np.memmap) else found
        owner = owner.base
    return found if isinstance(owner, mmap.mmap) else None
