"""The record of a converted folder, `data.json`: what its arrays are and where they came from."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import ConfigDict, Field

from lpt.config import DatasetConfig
from lpt.data.dataset import TrajectoryDataset
from lpt.data.provenance import Provenance
from lpt.machine.origin import check_origin
from lpt.machine.schema import Actions, Finite, Positive, Size, checked
from lpt.machine.untrusted import LARGEST_RECORD, Refused, parse_object, parsing, read_bounded

Steps = Annotated[int, Field(ge=1, le=1 << 40)]
"""Of a data set."""

RECORD = "data.json"
"""File that makes a folder a converted one."""
FORMAT = 2
"""Of the record; 1 is read too, which called `observation_dim` `obs_dim`."""
AGAIN = "Convert the source again: lpt-data convert SOURCE FOLDER --overwrite"
"""What to do about a damaged folder."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the arrays."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    steps: Steps
    """S."""
    trajectories: Steps
    """n."""
    observation_dim: Size
    """Entries of an observation."""
    act_dim: Size | None
    """Entries of an action, None if actions are discrete."""

    def layout(self) -> dict[str, tuple[str, tuple[int, ...]]]:
        """Return type and shape of each array."""
        steps, act_dim = self.steps, self.act_dim
        return {
            "observations": ("<f4", (steps, self.observation_dim)),
            "actions": ("<i8", (steps,)) if act_dim is None else ("<f4", (steps, act_dim)),
            "rewards": ("<f4", (steps,)),
            "offsets": ("<i8", (self.trajectories + 1,)),
            "returns": ("<f4", (self.trajectories,)),
            "terminated": ("|b1", (self.trajectories,)),
        }


@dataclass(frozen=True, kw_only=True)
class _Entries:
    """What `data.json` holds, by its names there."""

    provenance: Provenance
    config: DatasetConfig
    num_actions: Actions | None
    sizes: Sizes
    observation_mean: list[Finite]
    observation_std: list[Positive]

    def __post_init__(self) -> None:
        if not re.fullmatch("[0-9a-f]{64}", self.provenance.fingerprint):
            raise ValueError("its fingerprint is none")


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What `data.json` says."""

    provenance: Provenance
    """Where the data came from, with their fingerprint."""
    config: DatasetConfig
    """The options that shaped trajectories and labels."""
    num_actions: int | None
    """Number of discrete actions, None for continuous ones."""
    sizes: Sizes
    """Of the arrays."""
    moments: tuple[np.ndarray, np.ndarray]
    """Mean and standard deviation of the observations, each `[observation_dim]` float32."""

    @classmethod
    def of(cls, dataset: TrajectoryDataset) -> Record:
        """Return the record of a data set; a path becomes what it was converted from."""
        details = dict(dataset.provenance.details)
        if "path" in details:
            details["converted_from"] = details.pop("path")
        return cls(
            provenance=replace(dataset.provenance, details=details),
            config=dataset.config,
            num_actions=dataset.num_actions,
            sizes=Sizes(
                steps=dataset.num_steps,
                trajectories=len(dataset),
                observation_dim=dataset.observation_dim,
                act_dim=None if dataset.discrete else dataset.action_dim,
            ),
            moments=dataset.observation_moments,
        )

    def write(self, folder: Path) -> None:
        """Write the record into a folder."""
        mean, std = self.moments
        entries = {
            "format": FORMAT,
            "provenance": self.provenance.to_dict(),
            "config": asdict(self.config),
            "num_actions": self.num_actions,
            "sizes": asdict(self.sizes),
            "observation_mean": mean.tolist(),
            "observation_std": std.tolist(),
        }
        (folder / RECORD).write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Record:
        """Read the record of a folder.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: the record is damaged, or of a later format.
        """
        if not folder.is_dir():
            raise FileNotFoundError(
                f"{folder}: no such folder. Make it with: lpt-data convert SOURCE {folder}"
            )
        path = folder / RECORD
        with parsing(f"{folder}: {RECORD} is damaged", AGAIN):
            entries = parse_object(read_bounded(path, LARGEST_RECORD, folder).decode("utf-8"))
            try:
                return cls._parse(_upgraded(entries), folder)
            except Refused as error:  # named by its part, completed by what to do
                raise ValueError(error) from error

    @classmethod
    def _parse(cls, entries: dict[str, Any], folder: Path) -> Record:
        mend = "The file was edited"
        stored = checked(_Entries, entries, RECORD, mend)
        check_origin(entries["provenance"], f"{RECORD}, provenance", mend)
        keys = ("observation_mean", "observation_std")
        mean, std = (np.array(getattr(stored, key), np.float32) for key in keys)
        if {mean.shape, std.shape} != {(stored.sizes.observation_dim,)}:
            raise ValueError("its parts do not fit together")
        if (stored.sizes.act_dim is None) != (stored.num_actions is not None):
            raise ValueError("its number of actions does not fit act_dim")
        return cls(
            provenance=stored.provenance,
            config=stored.config,
            num_actions=stored.num_actions,
            sizes=stored.sizes,
            moments=(mean, std),
        )


def _upgraded(entries: dict[str, Any]) -> dict[str, Any]:
    """Return a record of an earlier format as one of this format.

    Raises:
        ValueError: it is of another format.
    """
    if entries["format"] not in (1, FORMAT):
        raise ValueError(f"format {entries['format']}, this version reads 1 and {FORMAT}")
    names = {"obs_dim": "observation_dim"}
    sizes = {names.get(name, name): size for name, size in entries["sizes"].items()}
    return {**entries, "sizes": sizes}
