"""The plan-space figure: plans for rising targets and what they do from one and the same start."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from torch import Tensor

from lpt.evaluation.environments import environment_kwargs
from lpt.evaluation.policy import LPTPolicy
from lpt.evaluation.rollout import run_episodes
from lpt.reporting.figures import INK, draw_maze, draw_paths, maze_of

# The darker nine tenths of plasma: its yellow end cannot be seen on white.
RISING = LinearSegmentedColormap.from_list("rising", colormaps["plasma"](np.linspace(0, 0.9, 256)))


def plan_space_figure(
    policy: LPTPolicy,
    targets: list[float],
    *,
    per_target: int = 12,
    seed: int = 1000,
    env_id: str | None = None,
    weight: float | None = None,
) -> Figure:
    """Plan for rising targets, and the trajectories they produce from the same start.

    Left: plans `z` projected on their two main directions; middle: return earned and predicted
    for each plan; right, for mazes: the trajectories, every episode started alike.

    Args:
        policy: the policy.
        targets: raw target returns.
        per_target: plans for each target.
        seed: seed of planning and of the one start.
        env_id: environment; unset: the checkpoint's.
        weight: planning weight; unset: the policy's.

    Raises:
        ValueError: for fewer than two targets or no environment.
    """
    if len(targets) < 2:
        raise ValueError(f"a plan space needs two targets, got {targets}")
    env_id = env_id or policy.own_environment
    targets = sorted(targets)
    asked = np.repeat(targets, per_target)
    policy.seed(seed)
    plans = [policy.plan(target, per_target, weight) for target in targets]
    z = torch.cat([plan.z for plan in plans])
    predicted = np.concatenate([policy.predicted_returns(plan) for plan in plans])
    paths, returns = from_one_start(policy, z, asked, env_id, seed)
    maze = maze_of(env_id, **environment_kwargs(policy.metadata, env_id))
    norm = Normalize(min(targets), max(targets))
    colors = RISING(norm(asked))
    figure = Figure(figsize=(13.5 if maze else 9, 4.1), layout="constrained")
    panels = figure.subplots(1, 3 if maze else 2)
    _draw_projection(panels[0], z.flatten(1).cpu().numpy(), colors)
    panels[1].scatter(predicted, returns, c=colors, s=26, edgecolors="white", lw=0.5)
    panels[1].set(xlabel="return predicted from the plan", ylabel="return earned")
    panels[1].set_title("What the plans earn", fontsize=11, color=INK)
    if maze:
        draw_maze(panels[2], maze)
        draw_paths(panels[2], paths, colors)
        panels[2].set_title("Trajectories from one start", fontsize=11, color=INK)
    for axes in panels[:2]:
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    bar = figure.colorbar(ScalarMappable(norm, RISING), ax=list(panels), shrink=0.85, pad=0.01)
    bar.set_label("target return")
    bar.outline.set_visible(False)
    return figure


def from_one_start(
    policy: LPTPolicy, z: Tensor, asked: np.ndarray, env_id: str, seed: int
) -> tuple[list[np.ndarray], np.ndarray]:
    """Each plan's trajectory and return, every environment reset alike, as evaluations act."""
    environments = [policy.environment(env_id, float(target)) for target in asked]
    try:
        policy.check(environments[0])
        rollout = run_episodes(policy, z, environments, [seed] * len(z), record=True)
    finally:
        for environment in environments:
            environment.close()
    return rollout.observations, rollout.returns


def principal(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows `[n, k]` on their two main directions, `[n, 2]`, and the share of each, `[2]`."""
    centered = values - values.mean(axis=0)
    _, scale, directions = np.linalg.svd(centered, full_matrices=False)
    share = scale**2 / max(float((scale**2).sum()), 1e-12)
    return centered @ directions[:2].T, share[:2]


def _draw_projection(axes: Axes, z: np.ndarray, colors: Any) -> None:
    """Plan `[n, N * D]` on their first two principal components."""
    points, share = principal(z)
    axes.scatter(points[:, 0], points[:, 1], c=colors, s=26, edgecolors="white", lw=0.5)
    axes.set(xlabel=f"1st component ({share[0]:.0%})", ylabel=f"2nd component ({share[1]:.0%})")
    axes.set_title("Latent plans", fontsize=11, color=INK)
