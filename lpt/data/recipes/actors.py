"""Gym-MuJoCo's data: actors saved in the course of training, acting in the simulator."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from lpt.config.making import Format
from lpt.data.provenance import Provenance, library_versions
from lpt.data.recipes.recipe import Order, Progress, Size
from lpt.data.recipes.steps import MadeSteps
from lpt_envs.mujoco import recipes


@dataclass(frozen=True, kw_only=True)
class ActorsRecipe:
    """One of D4RL's recipes (`lpt_envs.mujoco.recipes`) with the saved actors of a robot."""

    robot: str
    """Such as `hopper`."""
    data: str
    """Such as `medium-replay`."""
    steps: int = 1_000_000
    """Rows of the published data."""

    formats: ClassVar[tuple[Format, ...]] = ("d4rl", "minari", "npz")
    ending: ClassVar[str] = ".hdf5"
    shipped: ClassVar[Path | None] = None

    @property
    def tag(self) -> str:
        """The first digits of the hash of the actors: others make other data."""
        return f"-actors{recipes.actors_tag(self.robot)}"

    @property
    def available(self) -> bool:
        """Whether the robot's actors are all there: no expert is shipped."""
        return recipes.has_recipe(self.robot, self.data)

    def size(self, steps: int | None = None) -> Size:
        """Return how much is made for an order of `steps` rows."""
        return Size(self.steps if steps is None else steps, "step")

    def make(self, order: Order, progress: Progress | None = None) -> MadeSteps:
        """Let the actors act; deterministic in the seed of resets and actions.

        Raises:
            ValueError: a number is out of range.
            FileNotFoundError: the recipe wants an expert and there is none.
        """
        steps = self.size(order.steps).count
        arrays = recipes.generate(
            self.robot, self.data, steps, order.seed, order.env_id, progress=progress
        )
        details = {
            "generator": "lpt_envs.mujoco.recipes.generate",
            "task": order.task,
            "recorded_in": order.env_id,
            "horizon": order.horizon,
            "actors": recipes.describe_actors(self.robot),
            "versions": library_versions(("numpy", "mujoco", "gymnasium")),
            "recipe": self.data,
            "steps": steps,
            "seed": order.seed,
        }
        return MadeSteps(
            arrays, Provenance("regenerated", order.task, order.env_id, details=details)
        )
