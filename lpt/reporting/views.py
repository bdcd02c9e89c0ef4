"""What an environment's trajectories look like on a page: paths in a maze, games on a board.

Figures and traces are plain dictionaries, as plotly takes them.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from lpt.evaluation.environments import environment_kwargs
from lpt.evaluation.policy import LPTPolicy
from lpt.reporting.figures import FLOOR, INK, WALL, maze_of
from lpt_envs.connect_four.board import CELLS, COLUMNS, ROWS

POINTS = 150
"""Most points of a path on a page."""
DISCS = ("#d63438", "#facd3e")
"""Colors of the policy's discs and of the opponent's."""


class View(Protocol):
    """How the trajectories of one kind of environment are drawn."""

    name: str
    """What one trajectory is called."""
    layout: dict[str, Any]
    """Axes and background."""

    def trace(self, observations: np.ndarray) -> dict[str, Any]:
        """Return a scatter trace of an episode's observations `[T, obs]`."""


class MazeView:
    """Paths in a maze, drawn as its string is written: x downwards, y to the right."""

    name = "path"

    def __init__(self, maze: Any) -> None:
        """Take a maze (`walls` `[rows, columns]`, `goal`)."""
        rows, columns = maze.walls.shape
        walls = [  # see draw_maze
            _shape("rect", WALL, j - 0.7, j + 0.3, i - 0.7, i + 0.3)
            for i, j in np.argwhere(maze.walls).tolist()
        ]
        goal = {"x": maze.goal[1], "y": maze.goal[0], "text": "★", "showarrow": False}
        hidden: dict[str, Any] = {"visible": False, "constrain": "domain"}
        self.layout: dict[str, Any] = {
            "shapes": walls,
            "annotations": [{**goal, "font": {"size": 26, "color": "#e53e3e"}}],
            "plot_bgcolor": FLOOR,
            "xaxis": {**hidden, "range": [-0.7, columns - 0.7]},
            "yaxis": {**hidden, "range": [rows - 0.7, -0.7], "scaleanchor": "x"},
        }

    def trace(self, observations: np.ndarray) -> dict[str, Any]:
        """Return the path of observations `[T, >=2]` that begin with (x, y)."""
        kept = np.linspace(0, len(observations) - 1, min(POINTS, len(observations))).astype(int)
        x, y = observations[kept, :2].astype(float).round(2).T.tolist()
        return {"x": y, "y": x, "mode": "lines", "line": {"width": 1.6}}


class BoardView:
    """A game of Connect Four: its last position, each disc with the number of its move."""

    name = "game"

    def __init__(self) -> None:
        axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "constrain": "domain"}
        columns = {"tickvals": list(range(COLUMNS)), "ticktext": list(range(1, COLUMNS + 1))}
        cells = [
            _shape("circle", "#122e62", x - 0.38, x + 0.38, y - 0.38, y + 0.38)
            for x in range(COLUMNS)
            for y in range(ROWS)
        ]
        self.layout: dict[str, Any] = {
            "shapes": [_shape("rect", "#2154a6", -0.5, COLUMNS - 0.5, -0.5, ROWS - 0.5), *cells],
            "xaxis": {**axis, **columns, "range": [-0.6, COLUMNS - 0.4]},
            "yaxis": {**axis, "visible": False, "range": [-0.6, ROWS - 0.4], "scaleanchor": "x"},
        }

    def trace(self, observations: np.ndarray) -> dict[str, Any]:
        """Return the discs of a game's observations `[T, 84]`, in the order of their moves."""
        planes = observations.reshape(len(observations), 2, CELLS) > 0.5
        cells, colors = [], []
        for before, after in pairwise(planes):
            for player in (0, 1):  # the policy moves first
                new = np.flatnonzero(after[player] & ~before[player])
                cells += new.tolist()
                colors += [DISCS[player]] * len(new)
        return {
            "x": [cell // ROWS for cell in cells],
            "y": [cell % ROWS for cell in cells],
            "mode": "markers+text",
            "text": [str(move + 1) for move in range(len(cells))],
            "marker": {"size": 30, "color": colors},
            "textfont": {"color": INK},
        }


def view_of(policy: LPTPolicy, env_id: str) -> View | None:
    """Return how an environment's trajectories are drawn; None for any other environment."""
    if "ConnectFour" in env_id:
        return BoardView()
    maze = maze_of(env_id, **environment_kwargs(policy.metadata, env_id))
    return None if maze is None else MazeView(maze)


def _shape(kind: str, color: str, x0: float, x1: float, y0: float, y1: float) -> dict[str, Any]:
    """Return a shape behind all traces; without a line of its color walls would show seams."""
    line = {"width": 1, "color": color}
    place = {"x0": x0, "x1": x1, "y0": y0, "y1": y1}
    return {"type": kind, "layer": "below", "line": line, "fillcolor": color, **place}
