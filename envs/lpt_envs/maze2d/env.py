"""D4RL's Maze2D (maze2d-*-v1) as a gymnasium environment on today's MuJoCo bindings."""

from __future__ import annotations

import math
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from numpy.typing import NDArray

from lpt_envs.maze2d.mazes import HORIZONS, MAZES, WALL, Maze, parse_maze
from lpt_envs.maze2d.physics import GOAL_RADIUS, PointMaze, State, draw_start
from lpt_envs.maze2d.rendering import HumanViewer, OffscreenRenderer, image_size

__all__ = ["HORIZONS", "MAZES", "Maze2DEnv"]

_FASTEST = 10.0
"""Beyond every speed: components are clipped to 5 before a step, but a corner can turn two into one
(6.8 at most in 4M steps of full throttle)."""


class Maze2DEnv(gymnasium.Env[NDArray[np.float64], NDArray[np.float32]]):
    """A point mass driven by forces through a maze to a fixed goal.

    Observation: float64 [4], (x, y, vx, vy) in meters and meters per second; x runs down the maze's
    rows and y along its columns. Action: float32 [2], forces along x and y in [-1, 1], clipped. One
    step is 0.01 s. Reward: `sparse`, 1 where the next position is within 0.5 of the goal, else 0;
    `dense`, exp(-distance). Episodes never terminate; `gymnasium.make` truncates them at D4RL's
    horizons, 300 / 600 / 800 steps. `info["success"]` tells whether the position is within 0.5 of
    the goal.

    A cell's center lies at (row - 0.2, column - 0.2), while the goal and the resets use (row,
    column), as in D4RL.

    Args:
        maze: A name in `MAZES`, or rows of `#` (wall), `O` (free) and `G` (goal, at most one; by
            default the first free cell) separated by newlines or `/`.
        reward: `"sparse"` or `"dense"`.
        render_mode: None, `"rgb_array"` or `"human"`.
        image_pixels: The rendered image's longer side, in pixels.

    Raises:
        ValueError: A malformed maze, or an unknown reward or render mode.
    """

    metadata = {"render_modes": ["human", "rgb_array"], "render_fps": 100}  # noqa: RUF012

    def __init__(
        self,
        maze: str = "umaze",
        reward: Literal["sparse", "dense"] = "sparse",
        render_mode: str | None = None,
        *,
        image_pixels: int = 480,
    ) -> None:
        if reward not in ("sparse", "dense"):
            raise ValueError(f"reward must be 'sparse' or 'dense', got {reward!r}")
        modes = self.metadata["render_modes"]
        if render_mode is not None and render_mode not in modes:
            raise ValueError(f"render_mode must be None or one of {modes}, got {render_mode!r}")
        self.maze: Maze = parse_maze(maze)
        self.reward = reward
        self.render_mode = render_mode
        self._image_size = image_size(self.maze, image_pixels)
        self._sim = PointMaze(self.maze)
        self._viewer: OffscreenRenderer | HumanViewer | None = None
        height, width = self.maze.walls.shape
        # the border walls keep x within about 0.35 and rows - 1.75, and y likewise
        low = np.array([0.0, 0.0, -_FASTEST, -_FASTEST])
        high = np.array([height - 1.0, width - 1.0, _FASTEST, _FASTEST])
        self.observation_space = Box(low, high, dtype=np.float64)
        self.action_space = Box(-1.0, 1.0, shape=(2,), dtype=np.float32)

    @property
    def goal(self) -> NDArray[np.float64]:
        """The goal (x, y), float64 [2]."""
        return np.array(self.maze.goal, dtype=np.float64)

    @property
    def walls(self) -> NDArray[np.bool_]:
        """Boolean grid [rows, columns], true at walls.

        For plots: cell (i, j) covers x in [i - 0.7, i + 0.3] and y in [j - 0.7, j + 0.3] in the
        observation's coordinates.
        """
        return self.maze.walls

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.float64], dict[str, Any]]:
        """Start an episode: a uniform cell plus uniform ±0.1, velocity 0.1 times normal.

        Args:
            seed: Reseeds the environment's generator.
            options: `{"state": (x, y, vx, vy)}` starts there instead.

        Returns:
            The observation [4] and the info.

        Raises:
            ValueError: Unknown options, or a state that is malformed or inside a wall.
        """
        super().reset(seed=seed)
        start = draw_start(
            self.maze, self.np_random
        )  # drawn always: options do not shift the stream
        if options:
            start = self._start_from(options)
        self._sim.reset(*start)
        if self.render_mode == "human":
            self.render()
        x, y, _, _ = start
        return np.array(start), {"success": self._distance(x, y) <= GOAL_RADIUS}

    def step(
        self, action: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], float, bool, bool, dict[str, Any]]:
        """Apply a force [2], clipped to ±1, for 0.01 s.

        Returns:
            The next observation [4], its reward, terminated (always false), truncated (false; the
            time limit is `gymnasium.make`'s) and the info.

        Raises:
            ValueError: The action is not two finite numbers.
        """
        try:
            ax, ay = np.asarray(action).tolist()
        except (TypeError, ValueError):
            raise ValueError(
                f"action must be 2 numbers, got shape {np.shape(action)}; for many environments at "
                f"once use a gymnasium vector environment"
            ) from None
        if not (-1.0 <= ax <= 1.0 and -1.0 <= ay <= 1.0):  # false for NaN too
            if math.isnan(ax) or math.isnan(ay):
                raise ValueError(f"action is not finite: {(ax, ay)}")
            ax, ay = min(max(ax, -1.0), 1.0), min(max(ay, -1.0), 1.0)
        state = self._sim.step(ax, ay)
        distance = self._distance(state[0], state[1])
        success = distance <= GOAL_RADIUS
        reward = float(success) if self.reward == "sparse" else math.exp(-distance)
        if self.render_mode == "human":
            self.render()
        return np.array(state), reward, False, False, {"success": success}

    def _distance(self, x: float, y: float) -> float:
        goal = self.maze.goal
        return math.hypot(x - goal[0], y - goal[1])

    def _start_from(self, options: dict[str, Any]) -> State:
        if set(options) != {"state"}:
            raise ValueError(f"reset options know only 'state', got {sorted(options)}")
        values = np.asarray(options["state"], dtype=np.float64)
        if values.shape != (4,) or not np.isfinite(values).all():
            raise ValueError(f"options['state'] must be 4 finite numbers, got {options['state']!r}")
        x, y, vx, vy = values.tolist()
        row, column = cell = self.maze.cell_at(x, y)
        rows = self.maze.rows
        inside = 0 <= row < len(rows) and 0 <= column < len(rows[0])
        if not inside or rows[row][column] == WALL:
            raise ValueError(
                f"options['state'] lies in the wall at cell {cell}; start in a free cell"
            )
        return x, y, vx, vy

    def render(self) -> NDArray[np.uint8] | None:
        """Draw the maze from above.

        Returns:
            An image [height, width, 3] in `rgb_array` mode, else None.

        Raises:
            RuntimeError: No way to open an OpenGL context or a window; the message says what to
                install.
        """
        if self.render_mode is None:
            gymnasium.logger.warn(
                "render() was called without a render_mode; pass render_mode='rgb_array' to "
                "gymnasium.make"
            )
            return None
        if self._viewer is None:
            viewer = HumanViewer if self.render_mode == "human" else OffscreenRenderer
            self._viewer = viewer(self._sim.model, self.maze, *self._image_size)
        return self._viewer.render(self._sim.data)

    def close(self) -> None:
        """Free the window or the rendering context."""
        if self._viewer is not None:
            self._viewer.close()
            self._viewer = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy or a pickle keeps: all but the viewer, which the copy opens anew."""
        return {**self.__dict__, "_viewer": None}
