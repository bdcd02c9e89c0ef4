"""HDF5 files from anywhere: nothing outside is touched, and sizes are known before reading.

HDF5 can make a file read others (external links, external storage, virtual data sets) and load
code (filters, from a folder of plugins). Data sets have no use for either: they are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lpt.machine.untrusted import LARGEST_RECORD, Refused, check_regular, parsing

_FILTERS = frozenset({1, 2, 3, 4, 5, 6, 32000})
"""Deflate, shuffle, checksum, szip, n-bit, scale-offset and LZF: those that HDF5 and h5py bring."""


@contextmanager
def open_hdf5(path: Path, mend: str, what: str = "") -> Iterator[h5py.File]:
    """Open a file for reading; what the library raises in the block becomes one line.

    Args:
        path: the file.
        mend: ends the error.
        what: begins it; unset: that the file is damaged.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file, or damaged.
    """
    check_regular(path)
    with (
        parsing(what or f"{path}: the file is damaged or not HDF5", mend),
        h5py.File(path, "r") as file,
    ):
        yield file


def member(group: h5py.Group, name: str, path: Path) -> Any:
    """Return what a group itself holds under a name, None if there is nothing.

    Raises:
        ValueError: it is a link, or its values lie elsewhere.
    """
    links, key = group.id.links, name.encode()
    if not links.exists(key):
        return None
    if links.get_info(key).type != h5py.h5l.TYPE_HARD:
        raise _elsewhere(path, name, "a link")
    node = group[name]
    if isinstance(node, h5py.Dataset):
        check_storage(node, path)
    return node


def check_storage(node: h5py.Dataset, path: Path) -> None:
    """Raise ValueError if a data set's values lie elsewhere, or need a filter that is loaded."""
    settings = node.id.get_create_plist()  # once: a Minari data set has thousands of these
    if settings.get_layout() == h5py.h5d.VIRTUAL:
        raise _elsewhere(path, node.name, "a virtual data set")
    if settings.get_external_count():
        raise _elsewhere(path, node.name, "a data set with external storage")
    kinds = {settings.get_filter(i)[0] for i in range(settings.get_nfilters())}
    if not kinds <= _FILTERS:
        raise Refused(
            f"{path}: {node.name} is compressed by a filter that HDF5 does not bring "
            f"({sorted(kinds - _FILTERS)[0]}). Write it again with gzip."
        )


def declared_bytes(node: h5py.Dataset, itemsize: int | None = None) -> int:
    """Return the memory that reading a data set takes: its values, or a chunk if that is larger.

    Args:
        node: the data set.
        itemsize: bytes of an entry in memory; None takes those of the file.
    """
    shape: tuple[int, ...] = node.shape or ()
    stored: int = node.dtype.itemsize
    chunk = prod(node.chunks) * stored if node.chunks else 0
    return max(prod(shape) * max(itemsize or 0, stored), chunk)


def declared_chunks(node: h5py.Dataset) -> int:
    """Return how many chunks a data set is declared to be stored in, 0 if it is in one piece."""
    sizes: tuple[int, ...] = node.chunks or ()
    return prod(-(-n // size) for n, size in zip(node.shape, sizes, strict=True)) if sizes else 0


def text_attribute(file: h5py.File, name: str, path: Path) -> str | None:
    """Return an attribute's text, None if there is none.

    Raises:
        ValueError: it is something else, or too long.
    """
    value = _attribute(file, name, path)
    if isinstance(value, bytes):
        value = value.decode("utf-8")
    if value is not None and not isinstance(value, str):
        raise Refused(f"{path}: attribute {name!r} is no text. Write the file again.")
    return value


def number_attribute(file: h5py.File, name: str, path: Path) -> int | None:
    """Return an attribute's whole number, None if there is none.

    Raises:
        ValueError: it is something else.
    """
    value = _attribute(file, name, path)
    if value is not None and not isinstance(value, int | np.integer):
        raise Refused(f"{path}: attribute {name!r} is no whole number. Write the file again.")
    return None if value is None else int(value)


def _attribute(file: h5py.File, name: str, path: Path) -> Any:
    if name not in file.attrs:
        return None
    stored = file.attrs.get_id(name)
    if stored.shape != () or stored.dtype.itemsize > LARGEST_RECORD:
        raise Refused(f"{path}: attribute {name!r} is no single value. Write the file again.")
    return file.attrs[name]


def _elsewhere(path: Path, name: str, what: str) -> Refused:
    return Refused(
        f"{path}: {name!r} is {what}, which may lead to other files. Copy the values into one file "
        "(h5repack, or h5py)."
    )
