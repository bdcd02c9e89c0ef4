"""The point mass in its maze: D4RL v1's MuJoCo model, exact on today's bindings, and a stepper."""

from __future__ import annotations

from typing import Any

import mujoco
import numpy as np

from lpt_envs.maze2d.mazes import Maze

MAX_SPEED = 5.0
"""Velocities are clipped to this, per coordinate, before each simulation step."""

GOAL_RADIUS = 0.5
"""The sparse reward is 1 within this distance of the goal."""

CELL_JITTER = 0.1
"""Resets and targets are a cell's integer point plus this much either way."""

RESET_SPEED = 0.1
"""Standard deviation of each velocity component at a reset."""

State = tuple[float, float, float, float]
"""(x, y, vx, vy) in joint coordinates, meters and meters per second."""

_STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)
_PARTICLE_RADIUS = 0.1
_PARTICLE_MARGIN = 0.002

_TEMPLATE = """
<mujoco model="point_maze">
  <compiler inertiafromgeom="true" angle="radian"/>
  <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <default>
    <joint damping="1" limited="false"/>
    <geom friction=".5 .1 .1" density="1000" margin="0" condim="1" contype="2" conaffinity="1"/>
  </default>
  <visual>
    <headlight ambient=".5 .5 .5" diffuse=".4 .4 .4" specular="0 0 0"/>
    <global fovy="20"/>
  </visual>
  <worldbody>
    <geom name="ground" type="plane" size="40 40 .25" pos="0 0 -.1" contype="1" conaffinity="0"
          rgba=".88 .88 .9 1"/>
    <body name="particle" pos="1.2 1.2 0">
      <geom name="particle" type="sphere" size="{radius}" contype="1" margin="{margin}"
            rgba=".2 .35 .8 1"/>
      <joint name="ball_x" type="slide" axis="1 0 0"/>
      <joint name="ball_y" type="slide" axis="0 1 0"/>
    </body>
    <site name="goal" pos="{goal_x} {goal_y} -.09" type="cylinder" size=".5 .001"
          rgba=".9 .3 .25 .5"/>
    {walls}
  </worldbody>
  <actuator>
    <motor joint="ball_x" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
    <motor joint="ball_y" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
  </actuator>
</mujoco>
"""

_WALL = '<geom name="wall_{i}_{j}" type="box" pos="{x} {y} 0" size=".5 .5 .2" rgba=".45 .45 .5 1"/>'


def draw_point(maze: Maze, rng: np.random.Generator) -> tuple[float, float]:
    """Draw a point of the maze: a uniform cell's integer point plus uniform ±0.1."""
    row, column = maze.cells[rng.integers(len(maze.cells))]
    u, v = rng.uniform(-CELL_JITTER, CELL_JITTER, size=2).tolist()
    return row + u, column + v


def draw_start(maze: Maze, rng: np.random.Generator) -> State:
    """Draw a reset state: a point of the maze (the goal cell too) and a small normal velocity."""
    x, y = draw_point(maze, rng)
    vx, vy = (RESET_SPEED * rng.standard_normal(2)).tolist()
    return x, y, vx, vy


def build_model(maze: Maze) -> mujoco.MjModel:
    """Compile D4RL v1's point-mass model of a maze.

    Two contact details changed silently since MuJoCo 2.0: how the margins of a pair combine, and
    the inverse weight of a body on slide joints. A margin on the sphere alone and a corrected
    `body_invweight0` restore both, so that D4RL's published reference returns replay to the last
    digit; without them returns are off by up to 0.09 points.
    """
    walls = "\n    ".join(
        _WALL.format(i=i, j=j, x=i + 1.0, y=j + 1.0) for i, j in np.argwhere(maze.walls)
    )
    xml = _TEMPLATE.format(
        radius=_PARTICLE_RADIUS,
        margin=_PARTICLE_MARGIN,
        # joint coordinates are measured from the body's own (1.2, 1.2)
        goal_x=maze.goal[0] + 1.2,
        goal_y=maze.goal[1] + 1.2,
        walls=walls,
    )
    model = mujoco.MjModel.from_xml_string(xml)
    particle = model.body("particle").id
    model.body_invweight0[particle, 0] = 2.0 / (3.0 * model.body_mass[particle])
    return model


class PointMaze:
    """The thin core: state in, action in, state out, as plain floats.

    Holds the MuJoCo model and data of one maze. Everything dear (spaces, copies, info) is left to
    its callers.
    """

    def __init__(self, maze: Maze) -> None:
        self.maze = maze
        self._bind()

    def _bind(self) -> None:
        self.model = build_model(self.maze)
        self.data = mujoco.MjData(self.model)
        # cached views: looking the arrays up on MjData costs as much as a tenth of a step
        self._qpos, self._qvel, self._ctrl = self.data.qpos, self.data.qvel, self.data.ctrl

    def __getstate__(self) -> dict[str, Any]:
        """Return what a copy needs: the maze, and all that the next step depends on."""
        state = np.empty(mujoco.mj_stateSize(self.model, _STATE))
        mujoco.mj_getState(self.model, self.data, state, _STATE)
        return {"maze": self.maze, "state": state}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        """Rebuild model and data. Copied views would be silently detached from the copied data."""
        self.maze = saved["maze"]
        self._bind()
        mujoco.mj_setState(self.model, self.data, saved["state"], _STATE)
        # positions for rendering; mj_forward would touch the solver's warm start
        mujoco.mj_kinematics(self.model, self.data)

    def reset(self, x: float, y: float, vx: float, vy: float) -> None:
        """Put the point at (x, y) with velocity (vx, vy) and forget the past."""
        mujoco.mj_resetData(self.model, self.data)
        self._qpos[:] = x, y
        self._qvel[:] = vx, vy
        mujoco.mj_forward(self.model, self.data)

    def state(self) -> State:
        """Return (x, y, vx, vy)."""
        (x, y), (vx, vy) = self._qpos.tolist(), self._qvel.tolist()
        return x, y, vx, vy

    def step(self, ax: float, ay: float) -> State:
        """Advance 0.01 s under an action already within ±1 and return (x, y, vx, vy).

        The velocity is clipped before the step and not after it, so speeds a little above 5 are
        seen.
        """
        qvel = self._qvel
        vx, vy = qvel.tolist()
        if vx > MAX_SPEED or vx < -MAX_SPEED or vy > MAX_SPEED or vy < -MAX_SPEED:
            qvel[0] = min(max(vx, -MAX_SPEED), MAX_SPEED)
            qvel[1] = min(max(vy, -MAX_SPEED), MAX_SPEED)
        ctrl = self._ctrl
        ctrl[0] = ax
        ctrl[1] = ay
        mujoco.mj_step(self.model, self.data)
        (x, y), (vx, vy) = self._qpos.tolist(), qvel.tolist()
        return x, y, vx, vy
