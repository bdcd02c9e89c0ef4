"""Maze2D's data: D4RL's waypoint controller, driving from target to target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from lpt.config.making import NOISE, Format
from lpt.data.provenance import Provenance, library_versions
from lpt.data.recipes.recipe import Order, Progress, Size
from lpt.data.recipes.steps import MadeSteps
from lpt_envs.maze2d.mazes import MAZES, parse_maze
from lpt_envs.maze2d.waypoint import generate


@dataclass(frozen=True, kw_only=True)
class MazeRecipe:
    """The waypoint controller in one maze."""

    maze: str
    """Name in `lpt_envs.maze2d.mazes.MAZES`, or one's own maze as a string."""
    reward: Literal["sparse", "dense"] = "sparse"
    """Kind of reward."""
    noise: float = NOISE
    """Standard deviation of the action noise."""
    steps: int = 1_000_000
    """Rows of the published data."""

    formats: ClassVar[tuple[Format, ...]] = ("d4rl", "minari", "npz")
    ending: ClassVar[str] = ".hdf5"
    available: ClassVar[bool] = True
    shipped: ClassVar[Path | None] = None

    @property
    def tag(self) -> str:
        """The noise, where it is not D4RL's."""
        return "" if self.noise == NOISE else f"-noise{self.noise:g}"

    def size(self, steps: int | None = None) -> Size:
        """Return how much is made for an order of `steps` rows."""
        return Size(self.steps if steps is None else steps, "step")

    def make(self, order: Order, progress: Progress | None = None) -> MadeSteps:
        """Drive through the maze; deterministic in the seed of targets, waypoints and noise.

        Raises:
            ValueError: a number is out of range, or the maze's free cells are not connected.
        """
        steps = self.size(order.steps).count
        arrays = generate(self.maze, steps, order.seed, noise=self.noise, progress=progress)
        if self.reward == "dense":
            arrays["rewards"] = _dense_rewards(arrays["observations"], parse_maze(self.maze).goal)
        details = {
            "generator": "lpt_envs.maze2d.waypoint.generate",
            "task": order.task,
            "maze": self.maze,
            "reward": self.reward,
            "horizon": order.horizon,
            "steps": steps,
            "seed": order.seed,
            "noise": self.noise,
            "versions": library_versions(("numpy", "mujoco", "gymnasium")),
        }
        if self.maze not in MAZES:  # the environment of one's own mazes has to be given them
            details["env_kwargs"] = {"maze": self.maze}
        return MadeSteps(
            arrays, Provenance("regenerated", order.task, order.env_id, details=details)
        )


def _dense_rewards(observations: np.ndarray, goal: tuple[int, int]) -> np.ndarray:
    # D4RL: exp(-distance to the goal), read from the stored observation as the sparse reward is.
    distance = np.linalg.norm(observations[:, :2].astype(np.float64) - goal, axis=1)
    return np.asarray(np.exp(-distance), np.float32)
