"""The action field at rest around a maze's goal, under plans of runs: does the goal hold?

python scripts/maze_field.py RUN [RUN ...] --out docs/images/maze_field.png

One panel for each run. Arrows are the policy's actions at velocity zero, under the first of its
plans for the target that the run was made for; the circle is where reward falls due. Where they
point inwards the goal is returned to.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from lpt.evaluation import LPTPolicy
from lpt.reporting.figures import save_figure

REACH = 0.5
"""Reward falls due within this distance of the goal."""


def field(policy: LPTPolicy, points: np.ndarray) -> np.ndarray:
    """Return the actions `[n, 2]` at rest at `points` `[n, 2]`, under one plan."""
    policy.seed(0)
    plan = policy.plan()
    at_rest = np.concatenate([points, np.zeros_like(points)], axis=1).astype(np.float32)
    state = policy.begin(plan.z.expand(len(points), -1, -1))
    actions, _ = policy.predict(at_rest, state)
    return np.asarray(actions)


def draw(runs: list[Path], extent: float = 1.2, side: int = 25) -> Figure:
    """Return the figure, a panel for each run."""
    figure = Figure(figsize=(4 * len(runs), 4.2), layout="constrained")
    for axes, run in zip(np.atleast_1d(figure.subplots(1, len(runs))), runs, strict=True):
        policy = LPTPolicy.load(run)
        environment = policy.environment()
        maze: Any = environment.unwrapped
        goal = np.array(maze.goal)
        environment.close()
        offsets = np.linspace(-extent, extent, side)
        points = np.stack(np.meshgrid(*(center + offsets for center in goal)), -1).reshape(-1, 2)
        actions = field(policy, points)
        axes.quiver(*points.T, *actions.T, scale=18, width=0.004)
        axes.add_patch(Circle(tuple(goal), REACH, fill=False, color="tab:red"))
        axes.set(title=run.name, aspect="equal", xlabel="x", ylabel="y")
    return figure


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    print(f"wrote {save_figure(draw(options.runs), options.out)}")
