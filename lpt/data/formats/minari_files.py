"""The files of a Minari data set, read without Minari: nothing in them can run code or grow.

Minari itself makes the environment of a data set that stores no spaces, which imports whatever
module the data name, and reads every episode's infos. Here spaces are required, and only what is
learned from is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium as gym
import h5py
import numpy as np
from minari import supported_dataset_versions
from minari.serialization import deserialize_space
from pydantic import BaseModel, ConfigDict, Field

from lpt.data.formats.hdf5 import declared_bytes, declared_chunks, member, open_hdf5
from lpt.data.limits import check_expansion, check_pieces
from lpt.machine.schema import checked
from lpt.machine.untrusted import (
    LARGEST_RECORD,
    Refused,
    check_regular,
    parse_object,
    parsing,
    read_bounded,
)

_KINDS = {"Box", "Discrete", "MultiBinary", "MultiDiscrete", "Text", "Dict", "Tuple"}
_LARGEST_SPACE = 1 << 20
_Total = Annotated[int, Field(ge=1, le=1 << 40)]


class Metadata(BaseModel):
    """What `metadata.json` says, as far as it is used."""

    model_config = ConfigDict(extra="allow")

    data_format: Literal["hdf5"]
    total_episodes: _Total
    total_steps: _Total
    observation_space: str
    action_space: str
    minari_version: str
    env_spec: str | None = None
    eval_env_spec: str | None = None
    description: str | None = None


@dataclass(frozen=True, eq=False)
class MinariFiles:
    """An open description of a data set; `episodes` reads it."""

    folder: Path
    """With `metadata.json` and `main_data.hdf5`."""
    metadata: Metadata
    """Of the data set."""
    observation_space: gym.Space[Any]
    """As recorded."""
    action_space: gym.Space[Any]
    """As recorded."""
    spec: dict[str, Any]
    """The stored spec of the evaluation environment, else of the recorded one, else empty."""
    stored_bytes: int
    """Size of the file of episodes."""
    what: str
    """Begins errors."""
    mend: str
    """Ends them."""

    @classmethod
    def open(cls, folder: Path, what: str, mend: str) -> MinariFiles:
        """Read the description of the data set in a folder.

        Args:
            folder: the `data` folder of a Minari data set.
            what: begins an error: what is wrong where.
            mend: ends it.

        Raises:
            ValueError: it is damaged, or of a kind that is not read.
        """
        path = folder / "metadata.json"
        with parsing(what, mend):
            record = parse_object(read_bounded(path, LARGEST_RECORD, folder))
            metadata = checked(Metadata, record, str(path), mend)
            if metadata.minari_version not in supported_dataset_versions:
                known = ", ".join(sorted(supported_dataset_versions))
                raise ValueError(
                    f"it is of Minari {metadata.minari_version}, the one installed reads {known}"
                )
            text = metadata.eval_env_spec or metadata.env_spec
            return cls(
                folder=folder,
                metadata=metadata,
                observation_space=_space(metadata.observation_space),
                action_space=_space(metadata.action_space),
                spec=parse_object(text) if text else {},
                stored_bytes=check_regular(folder / "main_data.hdf5", folder),
                what=what,
                mend=mend,
            )

    def episodes(self) -> Iterator[dict[str, Any]]:
        """Yield observations, actions, rewards and terminations of each episode.

        Raises:
            ValueError: the file is damaged, or leads elsewhere.
        """
        path, declared, chunks = self.folder / "main_data.hdf5", 0, 0
        spaces = {"observations": self.observation_space, "actions": self.action_space}
        with open_hdf5(path, self.mend, self.what) as file:
            for i in range(self.metadata.total_episodes):
                group = _require(file, f"episode_{i}", path)
                parts: dict[str, Any] = {}
                for name in ("observations", "actions", "rewards", "terminations"):
                    nodes = _tree(group, name, spaces.get(name), path)
                    declared += _total(nodes, declared_bytes)
                    chunks += _total(nodes, declared_chunks)
                    check_expansion(declared, self.stored_bytes, str(path))
                    check_pieces(chunks, self.stored_bytes, str(path))
                    parts[name] = _read(nodes)
                yield parts


def _space(text: str) -> gym.Space[Any]:
    """Return a stored space, whose sizes are bounded before it is made."""
    record = parse_object(text)
    _check_space(record)
    space: gym.Space[Any] = deserialize_space(record)
    return space


def _check_space(record: Any) -> None:
    kind = record["type"]
    if kind not in _KINDS:
        raise ValueError(f"{kind!r} is no kind of space")
    if kind in ("Dict", "Tuple"):
        inner = record["subspaces"]
        for space in inner.values() if kind == "Dict" else inner:
            _check_space(space)
        return
    sizes = {"Box": "shape", "Discrete": "n", "MultiBinary": "n"}
    size = record[sizes[kind]] if kind in sizes else 1
    dims = size if isinstance(size, list) else [size]
    whole = all(isinstance(dim, int) and dim >= 0 for dim in dims)
    if not whole or prod(dims) > _LARGEST_SPACE:
        raise ValueError(
            f"a {kind} of size {size!r}, expected whole numbers up to {_LARGEST_SPACE}"
        )
    if kind == "Box" and np.dtype(record["dtype"]).kind not in "fiub":
        raise ValueError(f"a Box of {record['dtype']!r}, expected numbers")


def _require(group: h5py.Group, name: str, path: Path) -> Any:
    node = member(group, name, path)
    if node is None:
        raise KeyError(f"{group.name} has no {name}")
    return node


def _tree(group: h5py.Group, name: str, space: gym.Space[Any] | None, path: Path) -> Any:
    """Return the data sets that hold a space's values: one, or a dictionary or tuple of such."""
    node = _require(group, name, path)
    if isinstance(space, gym.spaces.Dict):
        return {key: _tree(node, key, sub, path) for key, sub in space.spaces.items()}
    if isinstance(space, gym.spaces.Tuple):
        return tuple(_tree(node, f"_index_{i}", sub, path) for i, sub in enumerate(space.spaces))
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "fiub":
        raise Refused(
            f"{path}: {group.name}/{name} holds no plain numbers, but pictures or text. Convert "
            "the data to NPZ with numeric observations and actions."
        )
    if isinstance(space, gym.spaces.Box) and node.shape[1:] != space.shape:
        raise ValueError(f"{group.name}/{name} has shape {node.shape}, its space {space.shape}")
    return node


def _total(nodes: Any, size: Callable[[h5py.Dataset], int]) -> int:
    if isinstance(nodes, dict | tuple):
        parts = nodes.values() if isinstance(nodes, dict) else nodes
        return sum(_total(part, size) for part in parts)
    return size(nodes)


def _read(nodes: Any) -> Any:
    if isinstance(nodes, dict):
        return {key: _read(node) for key, node in nodes.items()}
    return tuple(map(_read, nodes)) if isinstance(nodes, tuple) else nodes[()]
