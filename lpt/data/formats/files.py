"""Reading a file of any format, told by its ending."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import numpy as np

from lpt.config import DatasetConfig
from lpt.data.blocks import Allocate
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.d4rl import read_d4rl
from lpt.data.formats.games import SUFFIXES as GAMES_SUFFIXES
from lpt.data.formats.games import is_games_path, read_games
from lpt.data.formats.mapped import SUFFIX as MAPPED_SUFFIX
from lpt.data.formats.mapped import is_mapped_path, read_mapped
from lpt.data.formats.npz import read_npz
from lpt.data.provenance import Provenance

Kind = Literal["npz", "hdf5", "games", "lpt"]
"""A format, as a provenance names it."""
SUFFIXES = (".npz", ".hdf5", ".h5", *GAMES_SUFFIXES, MAPPED_SUFFIX)
"""Endings of the files and folders that are read."""


def read_file(
    path: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    origin: Provenance | None = None,
    empty: Allocate = np.empty,
) -> TrajectoryDataset:
    """Read an .npz, .hdf5, .h5, .games or .games.xz file, or open a converted .lpt folder.

    Args:
        path: the file or folder.
        config: options; the defaults if None, or those that the folder was converted with.
        discrete: whether actions are discrete; None infers it.
        origin: what the caller knows of the data, see `file_provenance`.
        empty: makes the arrays that an HDF5 file is read into.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another ending, or malformed data.
    """
    path = Path(path).expanduser()
    if not path.name.lower().endswith(SUFFIXES):
        raise ValueError(f"{path}: expected a file that ends in {', '.join(SUFFIXES)}")
    kind = file_kind(path)
    if kind == "hdf5":
        return read_d4rl(path, config, discrete=discrete, origin=origin, empty=empty)
    read = {"npz": read_npz, "games": read_games, "lpt": read_mapped}[kind]
    return read(path, config, discrete=discrete, origin=origin)


def file_kind(path: str | os.PathLike[str]) -> Kind:
    """Return the format of a file by its ending; HDF5 where that says nothing."""
    if is_games_path(path):
        return "games"
    if is_mapped_path(path):
        return "lpt"
    return "npz" if os.fspath(path).lower().endswith(".npz") else "hdf5"
