"""The tasks known by name: environment, horizon, which data set each has and how it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from lpt.data.d4rl_names import d4rl_path
from lpt.data.recipes.actors import ActorsRecipe
from lpt.data.recipes.games import GamesRecipe
from lpt.data.recipes.maze import MazeRecipe
from lpt.data.recipes.recipe import Made, Order, Progress, Recipe
from lpt_envs.maze2d.mazes import DEFAULT_HORIZON
from lpt_envs.mujoco.recipes import ROBOTS


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task with a published data set."""

    name: str
    """Such as `maze2d-umaze` (without version)."""
    version: int
    """The data set's version, D4RL's where D4RL has it."""
    env_id: str
    """Gymnasium id to evaluate in."""
    horizon: int
    """Evaluation horizon in steps."""
    files: tuple[str, ...] = ()
    """Names under which D4RL stores the data, in order of preference."""
    recipe: Recipe | None = None
    """How this toolkit makes the data (`lpt.data.recipes`), None where it cannot."""
    minari_id: str | None = None
    """Minari's own data set of the same robot and level, where there is one: recorded afresh in
    a newer environment, hence other data than D4RL's."""
    env_kwargs: dict[str, Any] = field(default_factory=dict, hash=False)
    """What `env_id` is made with; where given, Minari's own set too is evaluated so."""
    max_return: float | None = None
    """Largest return of an episode that pays once for each thing reached, then ends; data that
    pay for as long as it lasts are relabeled (`lpt.data.rewards`). None: not so."""
    files_fit: bool = True
    """Whether policies trained on D4RL's files can act in `env_id`."""

    @property
    def generated(self) -> bool:
        """Whether the data can be made on this machine."""
        return self.recipe is not None and self.recipe.available

    def make(
        self, *, steps: int | None = None, seed: int = 0, progress: Progress | None = None
    ) -> Made:
        """Make the data by the task's recipe; deterministic in `seed`.

        Args:
            steps: rows; None makes as many as are published.
            seed: of everything random.
            progress: called with (done, all) now and then.

        Raises:
            ValueError: the task has no recipe, or a number is out of range.
            FileNotFoundError: the recipe is not available on this machine.
        """
        order = Order(
            task=self.name, env_id=self.env_id, horizon=self.horizon, steps=steps, seed=seed
        )
        return self._required().make(order, progress)

    def file_name(self, *, steps: int | None = None, seed: int = 0) -> str:
        """Return the name of a file of made data, which holds every option.

        Raises:
            ValueError: the task has no recipe.
        """
        recipe = self._required()
        size = recipe.size(steps)
        options = f"{size.unit}s{size.count}-seed{seed}{recipe.tag}"
        return f"{self.name}-v{self.version}-{options}{recipe.ending}"

    def _required(self) -> Recipe:
        if self.recipe is None:
            raise ValueError(f"{self.name} has no recipe: its data cannot be made here")
        return self.recipe


_MAZE_SIZES = {
    "umaze": (300, 1_000_000),
    "medium": (600, 2_000_000),
    "large": (800, 4_000_000),
}
_MUJOCO = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d", "ant": "Ant"}
_MUJOCO_DATA = ("random", "medium", "medium-replay", "medium-expert", "expert")
_KITCHEN = {
    "partial": ("microwave", "kettle", "light switch", "slide cabinet"),
    "mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}
# As Minari's data were recorded and D4RL evaluates: from one end of the U to the other. (The map
# that Minari's antmaze sets name for evaluation is the mirror image of the one they come from.)
_UMAZE = [[1, 1, 1, 1, 1], [1, "g", 0, 0, 1], [1, 1, 1, 0, 1], [1, "r", 0, 0, 1], [1, 1, 1, 1, 1]]
_REPLAY_STEPS = {"halfcheetah": 202_000, "hopper": 402_000, "walker2d": 302_000}  # D4RL's own


def _maze_task(size: str, evaluation: bool, dense: bool) -> Task:
    horizon, steps = _MAZE_SIZES[size]
    maze = f"{size}-eval" if evaluation else size
    stem = f"maze2d-eval-{size}" if evaluation else f"maze2d-{size}"
    name, kind = (f"{stem}-dense", "dense") if dense else (stem, "sparse")
    return Task(
        name=name,
        version=1,
        env_id=f"lpt_envs:lpt/Maze2D-{maze}{'-dense' if dense else ''}-v1",
        horizon=horizon,
        files=tuple(dict.fromkeys([f"{stem}-{kind}-v1.hdf5", f"{name}-v1.hdf5"])),
        recipe=MazeRecipe(maze=maze, reward="dense" if dense else "sparse", steps=steps),
    )


def _mujoco_task(robot: str, data: str) -> Task:
    # v4 is the closest living environment to mujoco-py's v2, which recorded the data.
    name = f"{robot}-{data}"
    stem = f"{robot}_{data.replace('-', '_')}-v2.hdf5"
    steps = 2_000_000 if data == "medium-expert" else 1_000_000
    if data == "medium-replay":
        steps = _REPLAY_STEPS.get(robot, steps)
    return Task(
        name=name,
        version=2,
        env_id=f"{_MUJOCO[robot]}-v4",
        horizon=1000,
        files=(stem, f"{name}-v2.hdf5"),
        recipe=ActorsRecipe(robot=robot, data=data, steps=steps) if robot in ROBOTS else None,
        minari_id=f"mujoco/{robot}/{data}-v0" if data in ("medium", "expert") else None,
    )


def _antmaze_task(maze: str) -> Task:
    return _robotics_task(
        name=f"antmaze-{maze}",
        version=2,
        env_id="gymnasium_robotics:AntMaze_UMaze-v4",
        horizon=700,
        minari_id=f"D4RL/antmaze/{maze}-v1",
        env_kwargs={"maze_map": _UMAZE, "continuing_task": False},
        max_return=1.0,
    )


def _kitchen_task(data: str) -> Task:
    return _robotics_task(
        name=f"kitchen-{data}",
        version=0,
        env_id="gymnasium_robotics:FrankaKitchen-v1",
        horizon=280,
        minari_id=f"D4RL/kitchen/{data}-v2",
        env_kwargs={"tasks_to_complete": list(_KITCHEN[data])},
        max_return=4.0,
    )


def _robotics_task(*, name: str, **options: Any) -> Task:
    """Return a task whose D4RL environment needs mujoco-py, and gymnasium-robotics' is another.

    D4RL's ant has weaker motors (30 against 150 Nm), and D4RL's files hold other observations: 29
    numbers (position, no goal) and 60 (no velocities), against 31 and 81 or 83 here, flattened from
    dictionaries.
    """
    path = d4rl_path(name)
    files = () if path is None else (path.rpartition("/")[2],)
    return Task(name=name, files=files, files_fit=False, **options)


def _connect_four_task(name: str, mixture: str) -> Task:
    return Task(
        name=name,
        version=0,
        env_id="lpt_envs:lpt/ConnectFour-v0",
        horizon=21,
        recipe=GamesRecipe(mixture=mixture),
    )


TASKS: dict[str, Task] = {
    task.name: task
    for task in [
        *(_maze_task(s, e, d) for s in _MAZE_SIZES for e in (False, True) for d in (False, True)),
        *(_mujoco_task(robot, data) for robot in _MUJOCO for data in _MUJOCO_DATA),
        *map(_antmaze_task, ("umaze", "umaze-diverse")),
        *map(_kitchen_task, _KITCHEN),
        _connect_four_task("connect-four", "esper"),
        _connect_four_task("connect-four-gamble", "gamble"),
        _connect_four_task("connect-four-mixed", "mixed"),
    ]
}
"""Known tasks by name."""


def find_task(name: str) -> Task | None:
    """Return the task of a name, or None if there is no such task.

    The version suffix and `-sparse` are optional: `maze2d-umaze`, `maze2d-umaze-v1` and
    `maze2d-umaze-sparse-v1` are one task. Another version is other data and is not found.
    """
    match = re.fullmatch(r"(.+?)(?:-v(\d+))?", name)
    if match is None:
        return None
    task = TASKS.get(match[1].removesuffix("-sparse"))
    if task is None or (match[2] is not None and int(match[2]) != task.version):
        return None
    return task


def custom_maze(maze: str) -> Task:
    """Return the task of one's own maze string (sparse reward, `lpt/Maze2D-v1`)."""
    return Task(
        name="maze2d-custom",
        version=1,
        env_id="lpt_envs:lpt/Maze2D-v1",
        horizon=DEFAULT_HORIZON,
        recipe=MazeRecipe(maze=maze),
    )
