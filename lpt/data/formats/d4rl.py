"""HDF5 files in D4RL's layout: one row per step, all trajectories end to end.

Keys read: `observations`, `actions`, `rewards`, `terminals` and, where present, `timeouts`.
Trajectories end where D4RL's `sequence_dataset` ends them: at each `terminals` or `timeouts`, or,
in files without `timeouts`, at the horizon. Two families need a word more:

- antmaze (v2, "fixed"): `terminals` is 1 at *every* step within reach of the goal, and the ant is
  not reset there. So what follows an arrival comes in pieces of a step or two, each with return 1,
  which `dataset.min_length` drops; the umaze-diverse file flags arrivals once. `timeouts` ends the
  rest. Version 0, whose time-outs are out of step with its resets, is other data and not asked for.
- kitchen: rewards count the subtasks done so far, see `lpt.data.rewards`.

Files written here add the attribute `provenance` (JSON) and, for people who look with other tools,
one attribute per scalar entry of its details (generator, seed and so on).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from lpt.config import DatasetConfig
from lpt.data.blocks import Allocate, blocks
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.hdf5 import (
    declared_bytes,
    declared_chunks,
    member,
    number_attribute,
    open_hdf5,
    text_attribute,
)
from lpt.data.formats.hdf5_writer import create_hdf5
from lpt.data.limits import check_expansion, check_memory, check_pieces
from lpt.data.provenance import Provenance, file_provenance
from lpt.data.validation import problem

_CHUNK_ROWS = 16384


def read_d4rl(
    path: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    origin: Provenance | None = None,
    empty: Allocate = np.empty,
) -> TrajectoryDataset:
    """Read an HDF5 file in D4RL's layout.

    Args:
        path: the file.
        config: options; `horizon` is needed for files without `timeouts`.
        discrete: whether actions are discrete; None infers it from their type.
        origin: what the caller knows of the data, see `file_provenance`.
        empty: makes the arrays that the file is read into.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or a key is missing or malformed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file. Give the path of an HDF5 file.")
    with open_hdf5(path, "Download, copy or generate it again.") as file:
        text = text_attribute(file, "provenance", path)
        num_actions = number_attribute(file, "num_actions", path)
        nodes = {key: _find(file, key, path) for key in _keys(file)}
        declared = sum(declared_bytes(node, _memory_type(node).itemsize) for node in nodes.values())
        check_expansion(declared, path.stat().st_size, str(path))
        check_pieces(sum(map(declared_chunks, nodes.values())), path.stat().st_size, str(path))
        if empty is np.empty:  # else the arrays lie on a disk, which says if there is no room
            check_memory(declared, str(path))
        arrays = {key: _read(node, empty) for key, node in nodes.items()}
    return TrajectoryDataset.from_steps(
        **arrays,
        provenance=file_provenance(text, path, "hdf5", origin),
        config=config,
        discrete=discrete,
        num_actions=num_actions,
    )


def write_d4rl(
    path: str | os.PathLike[str],
    data: TrajectoryDataset | Mapping[str, np.ndarray],
    provenance: Provenance | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a data set, or arrays under D4RL's keys, as a D4RL file; atomic.

    Args:
        path: the file to write.
        data: a data set, or arrays of one row per step (keys such as `infos/qpos` make groups).
        provenance: stored with the arrays; a data set brings its own.
        overwrite: replace an existing file.

    Raises:
        FileExistsError: the file exists and `overwrite` is False.
        DiskError: the disk is full or the like; what was at `path` is as it was.
    """
    num_actions = None
    if isinstance(data, TrajectoryDataset):
        provenance, num_actions = provenance or data.provenance, data.num_actions
        data = step_arrays(data)
    with create_hdf5(path, overwrite=overwrite) as file:
        for key, array in data.items():
            chunks = (min(_CHUNK_ROWS, len(array)), *array.shape[1:])
            file.create_dataset(
                key, data=array, chunks=chunks, compression="gzip", compression_opts=1, shuffle=True
            )
        if num_actions is not None:
            file.attrs["num_actions"] = num_actions
        if provenance is not None:
            file.attrs["provenance"] = json.dumps(provenance.to_dict())
            file.attrs.update(_scalars(provenance))


def step_arrays(dataset: TrajectoryDataset) -> dict[str, np.ndarray]:
    """Return a data set under D4RL's keys: every last step is flagged, as one kind of end."""
    last = dataset.offsets[1:] - 1
    terminals = np.zeros(dataset.num_steps, bool)
    timeouts = np.zeros(dataset.num_steps, bool)
    terminals[last] = dataset.terminated
    timeouts[last] = ~dataset.terminated
    return {
        "observations": dataset.observations,
        "actions": dataset.actions,
        "rewards": dataset.rewards,
        "terminals": terminals,
        "timeouts": timeouts,
    }


def _keys(file: h5py.File) -> list[str]:
    required = ["observations", "actions", "rewards", "terminals"]
    return required + (["timeouts"] if "timeouts" in file else [])


def _find(file: h5py.File, key: str, path: Path) -> h5py.Dataset:
    """Return a data set of numbers."""
    node = member(file, key, path)
    if not isinstance(node, h5py.Dataset):
        found = ", ".join(islice(file, 20)) or "none"
        mend = "D4RL files have observations, actions, rewards, terminals and mostly timeouts."
        raise problem(str(path), key, f"is missing (found: {found})", mend)
    if node.dtype.kind not in "fiub" or node.shape is None:
        what = f"has type {node.dtype}, expected real numbers"
        raise problem(str(path), key, what, "Store a plain numeric array (no objects, no text).")
    return node


def _read(node: h5py.Dataset, empty: Allocate) -> np.ndarray:
    if 0 in node.shape or node.shape == ():
        return np.zeros(node.shape, node.dtype)  # validation says what is wrong with it
    values = empty(node.shape, _memory_type(node))
    for rows in blocks(values):
        node.read_direct(values, rows, rows)
    return values


def _memory_type(node: h5py.Dataset) -> np.dtype[Any]:
    """Return the type to read as: float64 files are converted while they are read."""
    return np.dtype(np.float32) if node.dtype.kind == "f" else node.dtype


def _scalars(provenance: Provenance) -> dict[str, Any]:
    record: dict[str, Any] = {
        "source": provenance.source,
        "id": provenance.id,
        "env_id": provenance.env_id or "",
    }
    for key, value in provenance.details.items():
        if isinstance(value, str | int | float):
            record[key] = value
        elif isinstance(value, dict):
            record[key] = json.dumps(value)
    return record
