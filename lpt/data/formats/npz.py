"""NPZ files: this toolkit's own plain format, and the easiest one to write by hand.

Keys, one row per step, all trajectories end to end:

- `observations` `[S, observation_dim]`, `actions` `[S, act_dim]` in [-1, 1] or `[S]` integers,
  `rewards` `[S]`;
- either `terminals` `[S]` and `timeouts` `[S]` (1 at a trajectory's last step: the task ended, or
  only the recording did), or `offsets` `[n+1]` with, optionally, `terminated` `[n]`;
- optional: `num_actions`, and `provenance` (JSON text).

Pickled objects are refused.
"""

from __future__ import annotations

import json
import os
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from lpt.config import DatasetConfig
from lpt.data.dataset import TrajectoryDataset
from lpt.data.limits import check_expansion, check_memory
from lpt.data.provenance import Provenance, file_provenance
from lpt.data.validation import problem
from lpt.machine.files import atomic_write
from lpt.machine.untrusted import Refused, check_regular, parsing

_KEYS = (
    *("observations", "actions", "rewards", "terminals", "timeouts"),
    *("offsets", "terminated", "num_actions", "provenance"),
)
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(
    path: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    origin: Provenance | None = None,
) -> TrajectoryDataset:
    """Read an NPZ file (keys: see the module).

    Args:
        path: the file.
        config: options; the defaults if None.
        discrete: whether actions are discrete; None infers it from their type.
        origin: what the caller knows of the data, see `file_provenance`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or a key is missing or malformed.
    """
    where = str(path)
    arrays = _read_arrays(Path(path))
    text = _text(arrays, where)
    for key in ("observations", "actions", "rewards"):
        if key not in arrays:
            raise _missing(where, key, arrays)
    options: dict[str, Any] = {
        "provenance": file_provenance(text, Path(path), "npz", origin),
        "config": config,
        "discrete": discrete,
        "num_actions": _number(arrays, where),
    }
    observations, actions, rewards = (arrays[k] for k in ("observations", "actions", "rewards"))
    if "offsets" in arrays:
        offsets, ended = arrays["offsets"], arrays.get("terminated")
        return TrajectoryDataset.from_offsets(
            observations, actions, rewards, offsets, ended, **options
        )
    if "terminals" not in arrays:
        raise _missing(where, "terminals", arrays)
    terminals, timeouts = arrays["terminals"], arrays.get("timeouts")
    return TrajectoryDataset.from_steps(
        observations, actions, rewards, terminals, timeouts, **options
    )


def write_npz(
    path: str | os.PathLike[str], dataset: TrajectoryDataset, *, overwrite: bool = False
) -> None:
    """Write a data set, with offsets and provenance; `read_npz` returns it again.

    Raises:
        FileExistsError: the file exists and `overwrite` is False.
    """
    arrays: dict[str, Any] = {
        name: getattr(dataset, name)
        for name in ("observations", "actions", "rewards", "offsets", "terminated")
    }
    if dataset.num_actions is not None:
        arrays["num_actions"] = dataset.num_actions
    arrays["provenance"] = json.dumps(dataset.provenance.to_dict())
    with atomic_write(path, overwrite=overwrite) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def _read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return the arrays of `_KEYS` that a file has; nothing else in it is looked at."""
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file. Give the path of an NPZ file.")
    size = check_regular(path)
    damaged = f"{path}: the file is damaged or not an NPZ file"
    with (
        parsing(damaged, "Copy or write it again (numpy.savez)."),
        path.open("rb") as raw,
        zipfile.ZipFile(raw) as file,
    ):
        members = {
            info.filename.removesuffix(".npy"): info
            for info in file.infolist()
            if info.filename.removesuffix(".npy") in _KEYS
        }
        declared = sum(_declared(info, path) for info in members.values())
        check_expansion(declared, size, str(path))
        check_memory(declared, str(path))
        return {key: _read(file, info, path) for key, info in members.items()}


def _declared(info: zipfile.ZipInfo, path: Path) -> int:
    """Return the bytes that a member expands to; the zip reader gives no more."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise Refused(
            f"{path}: {info.filename} is encrypted, or compressed in another way than numpy's. "
            "Write it again (numpy.savez or numpy.savez_compressed)."
        )
    return info.file_size


def _read(file: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> np.ndarray:
    """Return a member's array, whose header may not promise more than the member holds."""
    with file.open(info) as stream:
        version = np.lib.format.read_magic(stream)
        shape, _, dtype = _HEADERS[version](stream)
        if dtype.hasobject:
            raise Refused(
                f"{path}: an array cannot be read ({info.filename} holds objects). Store plain "
                "numeric arrays: pickled objects are refused."
            )
        if prod(shape) * dtype.itemsize > info.file_size:
            raise ValueError(f"{info.filename} is shorter than its header says")
    with file.open(info) as stream:
        return np.asarray(np.lib.format.read_array(stream, allow_pickle=False))


def _text(arrays: dict[str, np.ndarray], where: str) -> str | None:
    """Return the stored provenance, None if there is none."""
    value = arrays.get("provenance")
    if value is None:
        return None
    if value.shape != () or value.dtype.kind != "U":
        raise problem(where, "provenance", f"is {value.dtype} {list(value.shape)}", "Delete it.")
    return str(value)


def _number(arrays: dict[str, np.ndarray], where: str) -> int | None:
    """Return the stored number of actions, None if there is none."""
    value = arrays.get("num_actions")
    if value is None:
        return None
    if value.shape != () or value.dtype.kind not in "iu":
        what = f"is {value.dtype} {list(value.shape)}, expected a whole number"
        raise problem(where, "num_actions", what, "Store the number of discrete actions.")
    return int(value)


def _missing(where: str, key: str, arrays: dict[str, np.ndarray]) -> ValueError:
    found = ", ".join(sorted(arrays)) or "none"
    mend = "Write observations, actions, rewards and terminals with timeouts (or offsets)."
    return problem(where, key, f"is missing (found: {found})", mend)
