"""Connect Four's data: games of a mixture of players against ESPER's opponent."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from lpt.config.making import Format
from lpt.data.dataset import TrajectoryDataset
from lpt.data.formats.games import build_dataset, final_boards, write_games
from lpt.data.formats.games_behavior import behavior
from lpt.data.provenance import Provenance, library_versions
from lpt.data.recipes.recipe import Order, Progress, Size
from lpt_envs.connect_four.games import Games, generate, shipped_games
from lpt_envs.connect_four.players import MIXTURES

OPPONENT = "esper"
"""The opponent of the games."""


@dataclass(frozen=True, kw_only=True)
class GamesRecipe:
    """Games of one mixture of players."""

    mixture: str
    """Name in `lpt_envs.connect_four.players.MIXTURES`, which also says how many are published."""

    formats: ClassVar[tuple[Format, ...]] = ("games", "d4rl", "minari", "npz")
    ending: ClassVar[str] = ".games.xz"
    tag: ClassVar[str] = ""
    available: ClassVar[bool] = True

    @property
    def shipped(self) -> Path | None:
        """File of the published data in the package, None if there is none."""
        path = shipped_games(self.mixture)
        return path if path.is_file() else None

    def size(self, steps: int | None = None) -> Size:
        """Return how much is made for an order of `steps` of the agent's moves."""
        mixture = MIXTURES[self.mixture]
        if steps is None and mixture.games is not None:
            return Size(mixture.games, "game")
        return Size((mixture.steps or 0) if steps is None else steps, "step")

    def make(self, order: Order, progress: Progress | None = None) -> MadeGames:
        """Play the games, the last one to its end; deterministic in the seed of random moves.

        Fewer steps are the beginning of more.

        Raises:
            ValueError: the order's number of steps is below 1.
        """
        mixture, size = MIXTURES[self.mixture], self.size(order.steps)
        games = generate(
            mixture, steps=order.steps, seed=order.seed, opponent=OPPONENT, progress=progress
        )
        weights = zip(mixture.players, mixture.weights, strict=True)
        details: dict[str, Any] = {
            "generator": "lpt_envs.connect_four.games.generate",
            "task": order.task,
            "mixture": {player.name: weight for player, weight in weights},
            "opponent": OPPONENT,
            "horizon": order.horizon,
            f"{size.unit}s": size.count,
            "seed": order.seed,
            "versions": library_versions(("numpy",)),
            "behavior": behavior(games),
        }
        return MadeGames(
            games, Provenance("regenerated", order.task, order.env_id, details=details)
        )


@dataclass(frozen=True, eq=False)
class MadeGames:
    """Games, and how they were made."""

    games: Games
    """The games."""
    provenance: Provenance
    """How they were made, with figures of the players' behavior."""

    @cached_property
    def dataset(self) -> TrajectoryDataset:
        """The data as trajectories."""
        return build_dataset(self.games, self.provenance)

    def final_observations(self) -> np.ndarray:
        """Return the finished boards, `[n, 84]`."""
        return final_boards(self.games)

    def write(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write a games file; atomic.

        Raises:
            FileExistsError: the file exists and `overwrite` is False.
        """
        write_games(path, self.games, self.provenance, overwrite=overwrite)
