"""What every recipe answers, what it is asked for, and what it gives back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from lpt.config.making import Format
from lpt.data.dataset import TrajectoryDataset
from lpt.data.provenance import Provenance

Progress = Callable[[int, int], None]
"""Called with (done, all) now and then."""


@dataclass(frozen=True)
class Size:
    """How many steps, or how many games."""

    count: int
    """How many."""
    unit: Literal["step", "game"]
    """Of what."""

    def __str__(self) -> str:
        return f"{self.count} {self.unit}s"


@dataclass(frozen=True, kw_only=True)
class Order:
    """Whose data are to be made, how many, and from which seed."""

    task: str
    """Name of the task."""
    env_id: str
    """Gymnasium id of its environment."""
    horizon: int
    """Its evaluation horizon in steps."""
    steps: int | None = None
    """Rows to make; None makes as many as are published."""
    seed: int = 0
    """Of everything random."""


class Made(Protocol):
    """Data that a recipe has made."""

    @property
    def provenance(self) -> Provenance:
        """How they were made."""

    @property
    def dataset(self) -> TrajectoryDataset:
        """The data as trajectories."""

    def final_observations(self) -> np.ndarray:
        """Return the observation after each trajectory's last action, `[n, observation_dim]`."""

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a file in the recipe's first format, with all that was made; atomic.

        Raises:
            FileExistsError: the file exists and `overwrite` is False.
        """


class Recipe(Protocol):
    """How a task's data are made; a frozen dataclass."""

    @property
    def formats(self) -> tuple[Format, ...]:
        """Formats that the data can be written in, the usual one first."""

    @property
    def ending(self) -> str:
        """Ending of a file in the usual format."""

    @property
    def tag(self) -> str:
        """What of the recipe itself belongs in the name of a file, such as `-noise0.1`."""

    @property
    def available(self) -> bool:
        """Whether all that the recipe needs is on this machine."""

    @property
    def shipped(self) -> Path | None:
        """File of the published data in the package, None if there is none."""

    def size(self, steps: int | None = None) -> Size:
        """Return how much is made for an order of `steps` rows."""

    def make(self, order: Order, progress: Progress | None = None) -> Made:
        """Make the data; deterministic in the order's seed.

        Raises:
            ValueError: the order's number of steps or seed is out of range.
            FileNotFoundError: the recipe is not available.
        """
