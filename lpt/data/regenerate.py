"""Regenerating D4RL's Maze2D data with the waypoint controller of `lpt_envs`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lpt.data.provenance import Provenance, library_versions
from lpt.data.tasks import Task
from lpt_envs.mazes import parse_maze
from lpt_envs.waypoint import generate

NOISE = 0.5
"""Standard deviation of the action noise that fits D4RL's released data (FACTS 5)."""


def regenerate(
    task: Task,
    *,
    steps: int | None = None,
    seed: int = 0,
    noise: float = NOISE,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, np.ndarray], Provenance]:
    """Generates the data of a maze task; deterministic in `seed`.

    Args:
        task: with a maze.
        steps: rows; None takes D4RL's number.
        seed: of targets, waypoints and noise.
        noise: standard deviation of the action noise.
        progress: called with (rows done, rows) now and then.

    Returns:
        The arrays under D4RL's keys, and their provenance.

    Raises:
        ValueError: the task has no generator.
    """
    if task.maze is None:
        raise ValueError(f"{task.name} cannot be regenerated: only Maze2D data have a generator")
    steps = task.steps if steps is None else steps
    arrays = generate(task.maze, steps, seed, noise=noise, progress=progress)
    if task.reward == "dense":
        arrays["rewards"] = _dense_rewards(arrays["observations"], parse_maze(task.maze).goal)
    details = {
        "generator": "lpt_envs.waypoint.generate",
        "task": task.name,
        "maze": task.maze,
        "reward": task.reward,
        "horizon": task.horizon,
        "steps": steps,
        "seed": seed,
        "noise": noise,
        "versions": library_versions(("numpy", "mujoco", "gymnasium")),
    }
    if task.name == "maze2d-custom":
        details["env_kwargs"] = {"maze": task.maze}
    return arrays, Provenance("regenerated", task.name, task.env_id, details=details)


def final_observations(arrays: dict[str, np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Returns the observation after each trajectory's last action, `[n, obs_dim]`.

    The row after a flagged step repeats the observation, but its `infos/qpos` and `infos/qvel`
    have moved on: they are what the environment showed after the last action. A trajectory that
    ends with the data repeats its last observation.
    """
    state = np.concatenate([arrays["infos/qpos"], arrays["infos/qvel"]], axis=1)
    after = offsets[1:]
    last = arrays["observations"][after - 1]
    inside = after < len(state)
    return np.where(inside[:, None], state[np.minimum(after, len(state) - 1)], last)


def _dense_rewards(observations: np.ndarray, goal: tuple[int, int]) -> np.ndarray:
    # D4RL: exp(-distance to the goal), read from the stored observation as the sparse reward is.
    distance = np.linalg.norm(observations[:, :2].astype(np.float64) - goal, axis=1)
    return np.exp(-distance).astype(np.float32)
