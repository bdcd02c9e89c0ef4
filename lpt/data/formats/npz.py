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
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lpt.config import DatasetConfig
from lpt.data.dataset import TrajectoryDataset
from lpt.data.provenance import Provenance, file_provenance
from lpt.data.validation import problem
from lpt.machine.files import atomic_write


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
    text = str(arrays["provenance"]) if "provenance" in arrays else None
    for key in ("observations", "actions", "rewards"):
        if key not in arrays:
            raise _missing(where, key, arrays)
    options: dict[str, Any] = {
        "provenance": file_provenance(text, Path(path), "npz", origin),
        "config": config,
        "discrete": discrete,
        "num_actions": int(arrays["num_actions"]) if "num_actions" in arrays else None,
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
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file. Give the path of an NPZ file.")
    try:
        # Opened here, because numpy leaves the file open when it is damaged.
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            return {key: file[key] for key in file.files}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, AttributeError) as error:
        raise ValueError(
            f"{path}: the file is damaged or not an NPZ file ({error}). Copy or write it again "
            "(numpy.savez)."
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{path}: an array cannot be read ({error}). Store plain numeric arrays: pickled "
            "objects are refused."
        ) from error


def _missing(where: str, key: str, arrays: dict[str, np.ndarray]) -> ValueError:
    found = ", ".join(sorted(arrays)) or "none"
    mend = "Write observations, actions, rewards and terminals with timeouts (or offsets)."
    return problem(where, key, f"is missing (found: {found})", mend)
