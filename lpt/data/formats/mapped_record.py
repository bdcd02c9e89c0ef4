"""The record of a converted folder, `data.json`: what its arrays are and where they came from."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from lpt.config import DatasetConfig
from lpt.data.dataset import TrajectoryDataset
from lpt.data.provenance import Provenance

RECORD = "data.json"
"""File that makes a folder a converted one."""
FORMAT = 2
"""Of the record; 1 is read too, which called `observation_dim` `obs_dim`."""
AGAIN = "Convert the source again: lpt-data convert SOURCE FOLDER --overwrite"
"""What to do about a damaged folder."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the arrays."""

    steps: int
    """S."""
    trajectories: int
    """n."""
    observation_dim: int
    """Entries of an observation."""
    act_dim: int | None
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
        try:
            entries = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            return cls._parse(_upgraded(entries))
        except (OSError, KeyError, TypeError, ValueError) as error:
            kind = type(error).__name__
            raise ValueError(f"{folder}: {RECORD} is damaged ({kind}: {error}). {AGAIN}") from error

    @classmethod
    def _parse(cls, entries: dict[str, Any]) -> Record:
        keys = ("observation_mean", "observation_std")
        mean, std = (np.array(entries[key], np.float32) for key in keys)
        options = entries["config"]
        rest = tuple(options.get("rest", ()))  # JSON has no tuples, early folders no such option
        record = cls(
            provenance=Provenance.from_dict(entries["provenance"]),
            config=DatasetConfig(**{**options, "rest": rest}),
            num_actions=entries["num_actions"],
            sizes=Sizes(**entries["sizes"]),
            moments=(mean, std),
        )
        fitting = {mean.shape, std.shape} == {(record.sizes.observation_dim,)}
        if not fitting or len(record.provenance.fingerprint) != 64:
            raise ValueError("its parts do not fit together")
        if (record.sizes.act_dim is None) != isinstance(record.num_actions, int):
            raise ValueError("its number of actions does not fit act_dim")
        record.sizes.layout()  # with sizes that are no numbers there is none
        return record


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
