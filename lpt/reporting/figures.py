"""Figures: maze trajectories, score against updates, the plan space, return against target.

Drawn without pyplot, so nothing global changes and no display is needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from lpt.checkpoint.files import load_policy_files
from lpt.data.scores import find_reference, normalized_score
from lpt.evaluation.environments import make_environment
from lpt.evaluation.rollout import Evaluation
from lpt.machine.files import atomic_write
from lpt.reporting.curve import read_curve
from lpt.reporting.results import DISPLAY_NAMES
from lpt.reporting.statistics import bootstrap_interval

WALL, FLOOR, INK = "#4a5568", "#f7f7f5", "#2d3748"
COLORS = ("#2b6cb0", "#c05621", "#2f855a", "#6b46c1", "#b83280", "#975a16")

_SAME: dict[Any, Any] = {"svg.hashsalt": "lpt", "svg.fonttype": "none"}


def save_figure(figure: Figure, path: Path | str, dpi: int = 160) -> Path:
    """Write a figure atomically; the format follows the name (png, pdf, svg).

    Equal figures give equal SVG files, whose text is text.

    Raises:
        ValueError: if the name's ending is no image format.
    """
    path = Path(path)
    canvas = FigureCanvasAgg(figure)
    known = sorted(canvas.get_supported_filetypes())
    kind = path.suffix.removeprefix(".").lower()
    if kind not in known:
        raise ValueError(f"cannot write a figure to {path}: end its name in .png, .pdf or .svg")
    plain: dict[str, Any] = {"dpi": dpi, "bbox_inches": "tight", "facecolor": "white"}
    if kind == "svg":
        plain["metadata"] = {"Date": None}
    with atomic_write(path, overwrite=True) as temporary, rc_context(_SAME):
        figure.savefig(temporary, format=kind, **plain)
    return path


def maze_of(env_id: str, **kwargs: Any) -> Any | None:
    """Return an environment's maze (`walls` `[rows, columns]`, `goal`), None if it has none."""
    env = make_environment(env_id, **kwargs)
    maze = getattr(env.unwrapped, "maze", None)
    env.close()
    return maze if hasattr(maze, "walls") and hasattr(maze, "goal") else None


def draw_maze(axes: Axes, maze: Any) -> None:
    """Walls and goal as the maze's string is written: rows downwards, columns to the right.

    Cell `(i, j)` covers x from `i - 0.7` to `i + 0.3` and y likewise; x runs down the page.
    """
    rows, columns = maze.walls.shape
    axes.set_facecolor(FLOOR)
    extent = (-0.7, columns - 0.7, rows - 0.7, -0.7)
    alpha = np.asarray(maze.walls, float)
    wall = np.zeros((rows, columns, 4))
    wall[..., :3] = [int(WALL[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    wall[..., 3] = alpha
    axes.imshow(wall, extent=extent, interpolation="nearest", zorder=1)
    axes.plot(maze.goal[1], maze.goal[0], "*", color="#e53e3e", markersize=15, zorder=5)
    axes.set(xlim=extent[:2], ylim=extent[2:], xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set_visible(False)


def draw_paths(axes: Axes, paths: list[np.ndarray], colors: Any, alpha: float = 0.75) -> None:
    """Paths `[T, >=2]` of (x, y) in a maze, a dot at each start."""
    lines = LineCollection(
        [p[:, 1::-1] for p in paths], colors=colors, linewidths=1.1, alpha=alpha, zorder=3
    )
    axes.add_collection(lines)
    starts = np.array([p[0] for p in paths])
    axes.scatter(starts[:, 1], starts[:, 0], c=colors, s=14, edgecolors="white", lw=0.5, zorder=4)


def trajectories_figure(evaluation: Evaluation, title: str | None = None) -> Figure:
    """Return a recorded evaluation's trajectories over the walls, colored by return.

    Where the environment has no maze, the distribution of returns instead.

    Raises:
        ValueError: if the evaluation was made without `record=True`.
    """
    maze = maze_of(evaluation.env_id, **evaluation.env_kwargs)
    if maze is None:
        return returns_figure([evaluation], title)
    if not evaluation.observations:
        raise ValueError("the evaluation holds no observations: call evaluate(..., record=True)")
    norm = Normalize(evaluation.returns.min(), max(evaluation.returns.max(), 1e-9))
    rows, columns = maze.walls.shape
    figure = Figure(figsize=(0.75 * columns + 1.6, 0.75 * rows + 0.8), layout="constrained")
    axes = figure.add_subplot()
    draw_maze(axes, maze)
    order = np.argsort(evaluation.returns)  # the best on top
    colors = colormaps["viridis"](norm(evaluation.returns[order]))
    draw_paths(axes, [evaluation.observations[i] for i in order], colors)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, shrink=0.85, pad=0.02)
    bar.set_label("return")
    bar.outline.set_visible(False)
    axes.set_title(
        title
        or f"{len(evaluation.returns)} episodes, target {evaluation.target:g}: "
        f"mean return {evaluation.returns.mean():.1f}",
        color=INK,
        fontsize=11,
    )
    return figure


def returns_figure(evaluations: list[Evaluation], title: str | None = None) -> Figure:
    """Sorted returns of every episode, one line for each evaluation."""
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    for evaluation, color in zip(evaluations, colors_of(len(evaluations)), strict=True):
        share = np.linspace(0, 100, len(evaluation.returns))
        label = f"target {evaluation.target:g} (mean {evaluation.returns.mean():.1f})"
        axes.plot(share, np.sort(evaluation.returns), color=color, lw=2, label=label)
    axes.set(xlabel="episodes, from worst to best (%)", ylabel="return", title=title or "")
    return finish(figure, axes)


def sweep_figure(evaluations: list[Evaluation], title: str | None = None) -> Figure:
    """Return earned and return predicted against the target asked, quartiles shaded."""
    evaluations = sorted(evaluations, key=lambda e: e.target)
    targets = np.array([e.target for e in evaluations])
    low, middle, high = np.array([np.quantile(e.returns, (0.25, 0.5, 0.75)) for e in evaluations]).T
    mean = [e.returns.mean() for e in evaluations]
    figure = Figure(figsize=(6.4, 4.0), layout="constrained")
    axes = figure.add_subplot()
    axes.fill_between(targets, low, high, color=COLORS[0], alpha=0.18, lw=0, label="quartiles")
    axes.plot(targets, middle, color=COLORS[0], lw=1, ls=":", label="median")
    axes.plot(targets, mean, "o-", color=COLORS[0], lw=2, label="mean return earned")
    predicted = [e.predicted_return for e in evaluations]
    axes.plot(targets, predicted, "s--", color=COLORS[1], lw=1.5, ms=4, label="predicted by plan")
    axes.plot(targets, targets, color="#a0aec0", lw=1, label="asked", zorder=0)
    axes.set(xlabel="target return", ylabel="return", title=title or "")
    return finish(figure, axes)


def sweeps_figure(records: list[dict[str, Any]], title: str | None = None) -> Figure:
    """Draw return earned against return asked for, one line a result file, with 95 % intervals.

    Args:
        records: of `lpt-eval --sweep --out`, each with a `sweep`.
        title: title; unset: the task.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.add_subplot()
    for record, color in zip(records, colors_of(len(records)), strict=True):
        points = sorted(record["sweep"], key=lambda point: point["target"])
        targets = [point["target"] for point in points]
        low, high = np.array([point["ci95"] for point in points]).T
        label = DISPLAY_NAMES.get(record["algorithm"], record["algorithm"])
        axes.fill_between(targets, low, high, color=color, alpha=0.15, lw=0)
        means = [point["mean"] for point in points]
        axes.plot(targets, means, "o-", ms=4, color=color, label=label)
    axes.plot(targets, targets, color="#a0aec0", lw=1, label="asked", zorder=0)
    axes.set(xlabel="target return", ylabel="return", title=title or records[0]["task"])
    return finish(figure, axes)


def curves_figure(
    runs: dict[str, Path | str],
    lines: dict[str, float] | None = None,
    title: str | None = None,
) -> Figure:
    """Score against updates with 95 % intervals, one line for each run.

    Args:
        runs: run folders (with `evaluations.jsonl`) by label; all of one task.
        lines: horizontal reference lines (scores) by label.
        title: title.
    """
    figure = Figure(figsize=(6.8, 4.2), layout="constrained")
    axes, exact = figure.add_subplot(), True
    for (label, run), color in zip(runs.items(), colors_of(len(runs)), strict=True):
        points = read_curve(run)
        metadata = load_policy_files(run)[1]
        reference = find_reference(metadata.task)
        exact &= normalized_score(metadata.task, [0.0], metadata.env_id).exact
        scored = reference is not None and all(p.score is not None for p in points)
        values = [np.asarray(p.returns) for p in points]
        if scored and reference is not None:
            values = [reference.score(v) for v in values]
        updates = [p.updates for p in points]
        low, high = np.array([bootstrap_interval(v) for v in values]).T
        axes.fill_between(updates, low, high, color=color, alpha=0.15, lw=0)
        axes.plot(updates, [v.mean() for v in values], "o-", ms=3.5, color=color, label=label)
    for label, value in (lines or {}).items():
        axes.axhline(value, color="#718096", lw=1, ls="--", zorder=0)
        axes.annotate(
            label, (1, value), xycoords=("axes fraction", "data"), xytext=(-4, 3), ha="right",
            textcoords="offset points", fontsize=8, color="#4a5568",
        )  # fmt: skip
    unit = "D4RL score" if exact else "score by D4RL's constants (not its metric)"
    axes.set(xlabel="updates", ylabel=unit if scored else "return", title=title or "")
    axes.set_ylim(bottom=min(0, axes.get_ylim()[0]))
    return finish(figure, axes)


def colors_of(count: int) -> list[Any]:
    """Distinct colors for `count` lines."""
    if count <= len(COLORS):
        return list(COLORS[:count])
    return list(colormaps["plasma"](np.linspace(0, 0.9, count)))


def finish(figure: Figure, axes: Axes) -> Figure:
    """Legend, light grid and no frame, alike in every figure."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8)
    return figure
