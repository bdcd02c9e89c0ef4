"""D4RL's Maze2D: the environment, its mazes and physics, and the controller that makes its data."""

from lpt_envs.maze2d.env import Maze2DEnv

__all__ = ["Maze2DEnv"]
