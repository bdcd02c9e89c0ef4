"""The tasks known by name: environment, horizon, and which data set each has."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

from lpt.data.behaviour import has_recipe
from lpt.data.d4rl_urls import d4rl_path
from lpt_envs.connect_four.players import MIXTURES
from lpt_envs.mazes import DEFAULT_HORIZON


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task with a published data set.

    Attributes:
        name: such as `maze2d-umaze` (without version).
        version: the data set's version, D4RL's where D4RL has it.
        env_id: gymnasium id to evaluate in.
        horizon: evaluation horizon in steps.
        files: names under which D4RL stores the data, in order of preference.
        maze: maze name or string if the waypoint controller can regenerate the data, else None.
        mixture: name of the players (`lpt_envs.connect_four.players.MIXTURES`) whose Connect Four
            games the data are, else None.
        reward: kind of reward of a maze.
        steps: rows of the published data set, used on regeneration.
        games: games of the data set, where their number is fixed and not that of the steps.
        minari_id: Minari's own data set of the same robot and level, where there is one: recorded
            afresh in a newer environment, hence other data than D4RL's.
        env_kwargs: what `env_id` is made with; where given, Minari's own set too is evaluated so.
        max_return: largest return of an episode that pays once for each thing reached, then ends;
            data that pay for as long as it lasts are relabelled (`lpt.data.rewards`). None: not so.
        files_fit: whether policies trained on D4RL's files can act in `env_id`.
    """

    name: str
    version: int
    env_id: str
    horizon: int
    files: tuple[str, ...] = ()
    maze: str | None = None
    mixture: str | None = None
    reward: Literal["sparse", "dense"] = "sparse"
    steps: int = 1_000_000
    games: int | None = None
    minari_id: str | None = None
    env_kwargs: dict[str, Any] = field(default_factory=dict, hash=False)
    max_return: float | None = None
    files_fit: bool = True

    @property
    def behaviour(self) -> bool:
        """Whether saved actors can make the data (`lpt.data.behaviour`)."""
        return self.maze is None and self.mixture is None and has_recipe(self.name)

    @property
    def generated(self) -> bool:
        """Whether this toolkit can make the data."""
        return self.maze is not None or self.mixture is not None or self.behaviour


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
        maze=maze,
        reward="dense" if dense else "sparse",
        steps=steps,
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
        steps=steps,
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
    """Returns a task whose D4RL environment needs mujoco-py, and gymnasium-robotics' is another.

    D4RL's ant has weaker motors (30 against 150 Nm), and D4RL's files hold other observations: 29
    numbers (position, no goal) and 60 (no velocities), against 31 and 81 or 83 here, flattened from
    dictionaries.
    """
    path = d4rl_path(name)
    files = () if path is None else (path.rpartition("/")[2],)
    return Task(name=name, files=files, files_fit=False, **options)


def _connect_four_task(name: str, mixture: str) -> Task:
    recipe = MIXTURES[mixture]
    return Task(
        name=name,
        version=0,
        env_id="lpt_envs:lpt/ConnectFour-v0",
        horizon=21,
        mixture=mixture,
        steps=recipe.steps or 0,
        games=recipe.games,
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
    """Returns the task of a name, or None if there is no such task.

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
    """Returns the task of one's own maze string (sparse reward, `lpt/Maze2D-v1`)."""
    return Task(
        name="maze2d-custom",
        version=1,
        env_id="lpt_envs:lpt/Maze2D-v1",
        horizon=DEFAULT_HORIZON,
        maze=maze,
    )
