"""Folders of memory-mapped arrays: data larger than memory, converted once (`lpt-data convert`).

`NAME.lpt/` holds each array of a `TrajectoryDataset` as an .npy file, so that numpy opens them too,
and `data.json`: where the data came from, the options that shaped trajectories and labels, the
fingerprint, mean and standard deviation of the observations, and sizes. Opening reads data.json
and what there is one of per trajectory; steps are read from disk where and when they are used.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np

from lpt.config import DatasetConfig
from lpt.data.blocks import blocks
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.mapped_record import AGAIN, RECORD, Record
from lpt.data.limits import check_memory
from lpt.data.provenance import Provenance, file_provenance, fingerprint
from lpt.data.returns import label
from lpt.data.validation import as_offsets
from lpt.machine.disk import check_writable
from lpt.machine.files import atomic_folder, check_replaceable
from lpt.machine.untrusted import check_regular, parsing

SUFFIX = ".lpt"
"""How a folder's name ends."""
_HELD = ("offsets", "returns", "terminated")


def is_mapped_path(path: str | os.PathLike[str]) -> bool:
    """Return whether a name ends as a converted folder's does."""
    return os.fspath(path).rstrip("/" + os.sep).lower().endswith(SUFFIX)


def check_target(folder: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise ValueError, FileExistsError or DiskError where `write_mapped` would not write."""
    if not is_mapped_path(folder):
        raise ValueError(f"{folder}: expected a folder whose name ends in {SUFFIX}")
    check_replaceable(Path(folder), RECORD, overwrite)
    check_writable(folder, folder=True)


def write_mapped(
    folder: str | os.PathLike[str], dataset: TrajectoryDataset, *, overwrite: bool = False
) -> None:
    """Write a data set as a folder that `read_mapped` opens; atomic, a block at a time.

    Args:
        folder: to make; its name ends in `.lpt`.
        dataset: what to write.
        overwrite: replace such a folder.

    Raises:
        ValueError: another ending.
        FileExistsError: it exists and `overwrite` is False, or it is something else.
        DiskError: there is no room on the disk, or the like.
    """
    check_target(folder, overwrite)
    record = Record.of(dataset)
    with atomic_folder(folder, RECORD, overwrite=overwrite) as temporary:
        for name in record.sizes.layout():
            _save(temporary / f"{name}.npy", getattr(dataset, name))
        record.write(temporary)


def read_mapped(
    folder: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    origin: Provenance | None = None,
) -> TrajectoryDataset:
    """Open a folder that `write_mapped` made; observations, actions and rewards stay on disk.

    Sizes and types are checked, contents are not (`verify`). The data keep their source, and their
    environment where they have one. Labels follow `config`: under another return convention than
    the folder's they are summed up anew.

    Args:
        folder: to open.
        config: options; None takes the folder's own.
        discrete: whether actions are discrete; None takes what they are.
        origin: what the caller knows of the data, see `file_provenance`.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder is damaged, or `config` asks for other trajectories than it holds.
    """
    folder = Path(folder)
    record = Record.read(folder)
    _check_kind(discrete, record, folder)
    made, config = record.config, _settled(config or record.config, record, folder)
    layout = record.sizes.layout()
    arrays = {name: _open(folder, name, *kind) for name, kind in layout.items()}
    check_memory(sum(arrays[name].nbytes for name in _HELD), str(folder))
    for name in _HELD:
        arrays[name] = np.array(arrays[name])
    if not np.isfinite(arrays["returns"]).all():
        raise ValueError(f"{folder}: returns.npy has labels that are no finite numbers. {AGAIN}")
    as_offsets(arrays["offsets"], record.sizes.steps, str(folder))
    if (config.returns, config.horizon) != (made.returns, made.horizon):
        rewards, offsets, ended = (arrays[key] for key in ("rewards", "offsets", "terminated"))
        kind = (config.returns, config.horizon)
        arrays["returns"] = label(rewards, offsets, ended, *kind, str(folder))
    for array in arrays.values():
        array.flags.writeable = False
    dataset = TrajectoryDataset(
        **arrays,
        provenance=_provenance(record.provenance, config, folder, origin),
        config=config,
        num_actions=record.num_actions,
        counts_down=False,
    )
    # As if computed before; a copy with other observations (`dataclasses.replace`) will do so.
    vars(dataset)["observation_moments"] = record.moments
    return dataset


def stored_horizon(folder: str | os.PathLike[str]) -> int | None:
    """Return the horizon that a folder was converted with, None if it has none.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: its record is damaged.
    """
    return Record.read(Path(folder)).config.horizon


def check_contents(dataset: TrajectoryDataset) -> None:
    """Read the steps of a converted folder whole, and compare them with their fingerprint.

    Opening a folder reads its record only: who goes on with a run asks whether the data are still
    those that it began with. Data of other formats are fingerprinted when they are read.

    Raises:
        ValueError: the arrays are not those of the record.
    """
    where = dataset.provenance.details.get("path", "")
    if is_mapped_path(where) and Path(where).is_dir():
        whole = read_mapped(where)
        _check_fingerprint(whole, whole.provenance.fingerprint)


def verify(dataset: TrajectoryDataset) -> None:
    """Read a whole data set and compare it with what is recorded of it.

    Raises:
        ValueError: fingerprint, labels, or mean and standard deviation are others.
    """
    where = dataset.provenance.where
    _check_fingerprint(dataset, dataset.provenance.fingerprint)
    config, inputs = dataset.config, (dataset.rewards, dataset.offsets, dataset.terminated)
    same = np.array_equal(label(*inputs, config.returns, config.horizon), dataset.returns)
    fresh = replace(dataset).observation_moments
    if not same or not np.array_equal(fresh, dataset.observation_moments):
        what = "mean and standard deviation are" if same else "labels are"
        raise ValueError(f"{where}: {what} not those of the steps. {AGAIN}")


def _check_fingerprint(dataset: TrajectoryDataset, known: str) -> None:
    names = ("observations", "actions", "rewards", "offsets", "terminated")
    found = fingerprint({name: getattr(dataset, name) for name in names})
    if found != known:
        raise ValueError(
            f"{dataset.provenance.where}: has fingerprint {found}, recorded is {known}. {AGAIN}"
        )


def _provenance(
    stored: Provenance, config: DatasetConfig, folder: Path, origin: Provenance | None
) -> Provenance:
    """Return what the folder says, completed by what the caller knows (`file_provenance`)."""
    details = {**stored.details, "returns": config.returns, "horizon": config.horizon}
    text = json.dumps(replace(stored, details=details).to_dict())
    known = origin or Provenance(id=stored.id)
    known = replace(known, source=stored.source, env_id=stored.env_id or known.env_id)
    known = file_provenance(text, folder, stored.source, known)
    return replace(known, fingerprint=stored.fingerprint)


def _save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        for rows in blocks(array):
            try:
                array[rows].tofile(file)
            except OSError:  # which does not say why
                file.write(array[rows].tobytes())
                file.flush()
                raise


def _check_kind(discrete: bool | None, record: Record, folder: Path) -> None:
    """Raise ValueError if other actions are configured than the folder holds."""
    if discrete is not None and discrete != (record.num_actions is not None):
        kinds = ("continuous", "discrete")
        raise ValueError(
            f"{folder}: holds {kinds[not discrete]} actions where {kinds[discrete]} ones are "
            f"configured. Set --model.likelihood to fit, or convert with --discrete {discrete}"
        )


def _settled(config: DatasetConfig, record: Record, folder: Path) -> DatasetConfig:
    """Return the options with the horizon filled in.

    Raises:
        ValueError: with these options the source would have been cut into other trajectories.
    """
    made = record.config
    if config.horizon is None:
        config = replace(config, horizon=made.horizon)
    if config.min_length != made.min_length:
        raise ValueError(
            f"{folder}: was converted with dataset.min_length={made.min_length}, asked for is "
            f"{config.min_length}: pass --dataset.min-length {made.min_length}, or convert the "
            f"source again with --dataset.min-length {config.min_length}"
        )
    if record.provenance.details.get("cut_at_horizon", config.horizon) != config.horizon:
        raise ValueError(
            f"{folder}: its trajectories were cut at dataset.horizon={made.horizon}, asked for is "
            f"{config.horizon}: pass --dataset.horizon {made.horizon}, or convert the source again "
            f"with --dataset.horizon {config.horizon}"
        )
    return config


def _open(folder: Path, name: str, kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return one array as a read-only map.

    Raises:
        ValueError: the file is missing, damaged, or of another type, shape or size.
    """
    path = folder / f"{name}.npy"
    with parsing(f"{path}: cannot be read", AGAIN):
        size = check_regular(path, folder)
        array = np.lib.format.open_memmap(path, mode="r")
    extra = size - array.offset - prod(shape) * np.dtype(kind).itemsize
    if (array.dtype.str, array.shape, extra) != (kind, shape, 0):
        raise ValueError(
            f"{path}: holds {array.dtype.str} {list(array.shape)}, {RECORD} says {kind} "
            f"{list(shape)}, {extra} bytes are left over. {AGAIN}"
        )
    return np.asarray(array)
