"""What a fresh waypoint controller earns on the episodes that results are reported for.

python scripts/maze_controller.py results/data/maze2d_controller.json

Episode i of training seed k is reset with 1000 + 10000 k + i, as `lpt-train` evaluates. The
controller plans anew in every episode and acts without noise; what it earns is no limit, only good
driving.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import numpy as np
import tyro

from lpt.config import EvaluationConfig
from lpt.config.settings import OWN_RESETS
from lpt.data.scores import find_reference
from lpt.data.tasks import find_task
from lpt.machine.files import write_json
from lpt_envs.maze2d.controller import WaypointController

TASKS = ("maze2d-umaze", "maze2d-medium", "maze2d-large")


def drive(env: gymnasium.Env[Any, Any], reset: int) -> float:
    """Return what a controller earns in the episode of a reset."""
    observation, _ = env.reset(seed=reset)
    maze: Any = env.unwrapped
    controller = WaypointController(maze.maze, np.random.default_rng(reset))
    earned, over = 0.0, False
    while not over:
        x, y, vx, vy = map(float, observation)
        ax, ay, _ = controller.act((x, y, vx, vy), maze.maze.goal)
        action = np.array([ax, ay], np.float32)
        observation, reward, terminated, truncated, _ = env.step(action)
        earned += float(reward)
        over = terminated or truncated
    return earned


def main(
    out: Annotated[Path, tyro.conf.Positional],
    seeds: tuple[int, ...] = (0, 1, 2, 3, 4),
    episodes: int = 100,
) -> int:
    """Write the controller's returns, for the resets of each training seed."""
    first = EvaluationConfig().seed
    found = {}
    for name in TASKS:
        task, reference = find_task(name), find_reference(name)
        assert task is not None and reference is not None
        env = gymnasium.make(task.env_id)
        resets = {seed: first + OWN_RESETS * seed for seed in seeds}
        returns = {
            str(seed): [drive(env, reset + i) for i in range(episodes)]
            for seed, reset in resets.items()
        }
        means = {s: float(reference.score(np.array(r)).mean()) for s, r in returns.items()}
        scores = {seed: round(mean, 1) for seed, mean in means.items()}
        mean = sum(means.values()) / len(means)
        found[name] = {"score": round(mean, 1), "scores": scores, "returns": returns}
        print(name, found[name]["score"], scores, flush=True)
    print(f"wrote {write_json(found, out, overwrite=True)}")
    return 0


if __name__ == "__main__":
    sys.exit(tyro.cli(main))
