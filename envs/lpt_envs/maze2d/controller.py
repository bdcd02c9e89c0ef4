"""The waypoint controller that recorded D4RL's Maze2D data.

Gains, thresholds and the order of operations are those of D4RL v1's `waypoint_controller.py`.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np

from lpt_envs.maze2d.mazes import Cell, Maze
from lpt_envs.maze2d.physics import State

_STEPS = ((0, -1), (0, 1), (-1, 0), (1, 0))
_REACHED = 0.1
_P_GAIN, _D_GAIN = 10.0, 1.0
_WAYPOINT_JITTER = 0.2


class UniformSource(Protocol):
    """Source of the controller's waypoint jitter: a numpy `Generator`, or anything like it."""

    def random(self, size: int, /) -> np.ndarray:
        """Return `size` uniform numbers in [0, 1)."""


class WaypointController:
    """PD controller that follows jittered waypoints along a shortest path to the target's cell.

    It plans only when the target's cell changes: reused for another episode with the same target it
    goes on with its old waypoints and may drive into walls, as D4RL's does. Make a fresh one per
    episode for the ceiling.
    """

    def __init__(self, maze: Maze, rng: UniformSource) -> None:
        self.maze = maze
        self._rng = rng
        self._free = frozenset(maze.cells)
        self._distances: dict[Cell, dict[Cell, int]] = {}
        self._target: Cell | None = None
        self._waypoints: list[tuple[float, float]] = []
        self._index = 0
        self._previous = (0.0, 0.0)

    def act(self, state: State, target: tuple[float, float]) -> tuple[float, float, bool]:
        """Choose the action for one step.

        Args:
            state: (x, y, vx, vy).
            target: (x, y) to go to; rounded to its cell.

        Returns:
            The action's two parts, clipped to ±1, and whether the target cell's integer point has
            been reached: within 0.1 of it, having moved less than 0.1 since the last step.

        Raises:
            ValueError: The target's cell cannot be reached from here.
        """
        x, y, vx, vy = state
        cell = (round(target[0]), round(target[1]))
        if cell != self._target:
            self._plan((round(x), round(y)), cell)
        px, py = self._previous
        slow = math.hypot(px - x, py - y) < _REACHED
        solved = slow and math.hypot(x - cell[0], y - cell[1]) < _REACHED
        wx, wy = cell if solved else self._waypoints[self._index]
        if slow and not solved and math.hypot(x - wx, y - wy) < _REACHED:
            self._index += 1  # from the next step on
        self._previous = (x, y)
        ax = _P_GAIN * (wx - x) - _D_GAIN * vx
        ay = _P_GAIN * (wy - y) - _D_GAIN * vy
        return min(max(ax, -1.0), 1.0), min(max(ay, -1.0), 1.0), solved

    def _plan(self, start: Cell, target: Cell) -> None:
        waypoints: list[tuple[float, float]] = []
        for cell in self.path(start, target):
            if cell == target:
                waypoints.append((float(cell[0]), float(cell[1])))
            else:
                # a cell's center lies 0.2 below its integer point, so the shift is downwards only
                u, v = self._rng.random(2).tolist()
                waypoints.append((cell[0] - _WAYPOINT_JITTER * u, cell[1] - _WAYPOINT_JITTER * v))
        self._waypoints, self._index = waypoints, 0
        self._target, self._previous = target, (float(start[0]), float(start[1]))

    def path(self, start: Cell, target: Cell) -> list[Cell]:
        """Return the cells of a shortest path, `start` excluded; `[target]` where the two are one.

        Ties go to the first of (0, -1), (0, +1), (-1, 0), (+1, 0), as in D4RL's Q-iteration.

        Raises:
            ValueError: There is no path.
        """
        if target not in self._distances:
            self._distances[target] = self._flood(target)
        distances = self._distances[target]
        cells, cell = [target] if start == target else [], start
        while cell != target:
            around = [(cell[0] + i, cell[1] + j) for i, j in _STEPS]
            around = [c for c in around if c in distances]
            if not around:
                raise ValueError(
                    f"maze {self.maze.text!r}: no path from cell {start} to cell {target}; "
                    f"connect the maze's free cells"
                )
            cell = min(around, key=distances.__getitem__)
            cells.append(cell)
        return cells

    def _flood(self, target: Cell) -> dict[Cell, int]:
        if target not in self._free:
            raise ValueError(f"target cell {target} is not a free cell of {self.maze.text!r}")
        distances, queue = {target: 0}, [target]
        for cell in queue:  # grows while it is read
            for i, j in _STEPS:
                following = (cell[0] + i, cell[1] + j)
                if following in self._free and following not in distances:
                    distances[following] = distances[cell] + 1
                    queue.append(following)
        return distances
