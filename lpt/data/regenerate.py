"""Making data: D4RL's Maze2D by its waypoint controller, MuJoCo by saved actors, games by play."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lpt.data.behaviour import regenerate_behaviour
from lpt.data.games import behaviour
from lpt.data.provenance import Provenance, library_versions
from lpt.data.tasks import Task
from lpt_envs.connect_four.games import Games
from lpt_envs.connect_four.games import generate as play_games
from lpt_envs.connect_four.players import MIXTURES
from lpt_envs.mazes import parse_maze
from lpt_envs.waypoint import generate

NOISE = 0.5
"""Standard deviation of the action noise that fits D4RL's released data."""
OPPONENT = "esper"
"""The opponent of the Connect Four games."""


def regenerate(
    task: Task,
    *,
    steps: int | None = None,
    seed: int = 0,
    noise: float = NOISE,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[dict[str, np.ndarray], Provenance]:
    """Generates the data of a maze or MuJoCo task; deterministic in `seed`.

    Args:
        task: with a maze, or with a recipe of `lpt.data.behaviour`.
        steps: rows; None takes D4RL's number.
        seed: of targets, waypoints and noise, or of resets and actions.
        noise: standard deviation of the action noise in a maze.
        progress: called with (rows done, rows) now and then.

    Returns:
        The arrays under D4RL's keys, and their provenance.

    Raises:
        ValueError: the task has neither maze nor recipe.
        FileNotFoundError: the recipe wants an expert and there is none.
    """
    if task.mixture is not None:
        raise ValueError(f"{task.name} cannot be regenerated so: it consists of games")
    if task.maze is None:
        return regenerate_behaviour(task, steps=steps, seed=seed, progress=progress)
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


def regenerate_games(
    task: Task,
    *,
    steps: int | None = None,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Games, Provenance]:
    """Plays the games of a Connect Four task; deterministic in `seed`.

    Fewer steps are the beginning of more.

    Args:
        task: with a mixture of players.
        steps: agent's moves, the last game finished; None takes the task's own size.
        seed: of the players' and the opponent's random moves.
        progress: called with (done, all), steps or games, now and then.

    Returns:
        The games, and their provenance with figures of the players' behaviour.

    Raises:
        ValueError: the task has no mixture, or `steps` is below 1.
    """
    if task.mixture is None:
        raise ValueError(f"{task.name} cannot be regenerated so: it has no mixture of players")
    mixture = MIXTURES[task.mixture]
    games = play_games(mixture, steps=steps, seed=seed, opponent=OPPONENT, progress=progress)
    weights = zip(mixture.players, mixture.weights, strict=True)
    details = {
        "generator": "lpt_envs.connect_four.games.generate",
        "task": task.name,
        "mixture": {player.name: weight for player, weight in weights},
        "opponent": OPPONENT,
        "horizon": task.horizon,
        "games" if steps is None and task.games else "steps": steps or task.games or task.steps,
        "seed": seed,
        "versions": library_versions(("numpy",)),
        "behaviour": behaviour(games),
    }
    return games, Provenance("regenerated", task.name, task.env_id, details=details)


def final_observations(arrays: dict[str, np.ndarray], offsets: np.ndarray) -> np.ndarray:
    """Returns the observation after each trajectory's last action, `[n, obs_dim]`.

    MuJoCo data have it as `next_observations`. In a maze, the row after a flagged step repeats the
    observation, but its `infos/qpos` and `infos/qvel` have moved on: they are what the environment
    showed after the last action. A trajectory that ends with the data repeats its last observation.
    """
    if "next_observations" in arrays:
        return arrays["next_observations"][offsets[1:] - 1]
    state = np.concatenate([arrays["infos/qpos"], arrays["infos/qvel"]], axis=1)
    after = offsets[1:]
    last = arrays["observations"][after - 1]
    inside = after < len(state)
    return np.where(inside[:, None], state[np.minimum(after, len(state) - 1)], last)


def _dense_rewards(observations: np.ndarray, goal: tuple[int, int]) -> np.ndarray:
    # D4RL: exp(-distance to the goal), read from the stored observation as the sparse reward is.
    distance = np.linalg.norm(observations[:, :2].astype(np.float64) - goal, axis=1)
    return np.exp(-distance).astype(np.float32)
