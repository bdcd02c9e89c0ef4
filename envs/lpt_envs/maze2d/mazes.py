"""Maze layouts: the D4RL mazes by name, and a validated parser for one's own.

A maze is a grid of characters, `#` wall, `O` free, `G` goal (at most one). The first index is the
row of the string and the world's x, the second the column and the world's y, as in D4RL.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

WALL, FREE, GOAL = "#", "O", "G"

MAZES: dict[str, str] = {
    "umaze": "#####/#GOO#/###O#/#OOO#/#####",
    "medium": "########/#OO##OO#/#OO#OOO#/##OOO###/#OO#OOO#/#O#OO#O#/#OOO#OG#/########",
    "large": (
        "############/#OOOO#OOOOO#/#O##O#O#O#O#/#OOOOOO#OOO#/#O####O###O#/#OO#O#OOOOO#/"
        "##O#O#O#O###/#OO#OOO#OGO#/############"
    ),
    "umaze-eval": "#####/#OOG#/#O###/#OOO#/#####",
    "medium-eval": "########/#OOOOOG#/#O#O##O#/#OOOO#O#/###OO###/#OOOOOO#/#OO##OO#/########",
    "large-eval": (
        "############/#OO#OOO#OGO#/##O###O#O#O#/#OO#O#OOOOO#/#O##O#OO##O#/#OOOOOO#OOO#/"
        "#O##O#O#O###/#OOOO#OOOOO#/############"
    ),
}
"""D4RL's mazes by name, rows separated by `/` (the strings of maze2d-*-v1)."""

HORIZONS: dict[str, int] = {"umaze": 300, "medium": 600, "large": 800}
"""Time limit in steps of each D4RL maze size; the `-eval` mazes share it."""

DEFAULT_HORIZON = 800
"""Time limit in steps of one's own mazes."""

Cell = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Maze:
    """A parsed maze."""

    rows: tuple[str, ...]
    """The maze's rows, each a string of `#`, `O` and `G`."""
    cells: tuple[Cell, ...]
    """Cells a reset or a target is drawn from: free cells in row-major order, the goal cell
    last."""
    goal: Cell
    """The goal cell; the first free cell where the string names none."""

    @property
    def text(self) -> str:
        """The maze as one string, rows separated by `/`."""
        return "/".join(self.rows)

    @property
    def walls(self) -> np.ndarray:
        """Boolean grid [rows, columns], true at walls."""
        return np.array([[character == WALL for character in row] for row in self.rows])

    def cell_at(self, x: float, y: float) -> Cell:
        """Return the cell that holds a point, in joint coordinates.

        A cell's center lies at (row - 0.2, column - 0.2): the particle's body starts at 1.2 and the
        walls are centered on row + 1 and column + 1.
        """
        return math.floor(x + 0.7), math.floor(y + 0.7)


def horizon_of(maze: str) -> int:
    """Return the time limit in steps of a maze, given by name or string."""
    return HORIZONS.get(maze.removesuffix("-eval"), DEFAULT_HORIZON)


def parse_maze(maze: str) -> Maze:
    r"""Parse a maze's name or string.

    Args:
        maze: A key of `MAZES`, or rows of `#`, `O` and `G` separated by newlines, `/` or `\`.

    Returns:
        The validated maze.

    Raises:
        ValueError: An unknown name or character, ragged rows, several goals, no free cell, or a
            border that is not all wall.
    """
    if not isinstance(maze, str):
        raise ValueError(f"maze must be a string, got {type(maze).__name__}")
    text = MAZES.get(maze, maze)
    rows = tuple(
        row.strip() for row in text.replace("\\", "/").replace("\n", "/").split("/") if row.strip()
    )
    _check(maze, rows)
    free = _find(rows, FREE)
    goals = _find(rows, GOAL)
    return Maze(rows=rows, cells=(*free, *goals), goal=goals[0] if goals else free[0])


def _find(rows: tuple[str, ...], character: str) -> list[Cell]:
    return [(i, j) for i, row in enumerate(rows) for j, c in enumerate(row) if c == character]


def _check(maze: str, rows: tuple[str, ...]) -> None:
    known = "known names: " + ", ".join(MAZES)
    for i, row in enumerate(rows):
        for j, character in enumerate(row):
            if character not in (WALL, FREE, GOAL):
                raise ValueError(
                    f"maze {maze!r}: row {i}, column {j} is {character!r}; expected '#' (wall), "
                    f"'O' (free) or 'G' (goal), or a name ({known})"
                )
    if not rows:
        raise ValueError(f"maze {maze!r} is empty; give rows such as '#####/#GOO#/#####' ({known})")
    widths = {len(row) for row in rows}
    if len(widths) > 1:
        raise ValueError(
            f"maze rows have different lengths {[len(row) for row in rows]}; "
            f"pad the short ones with '#'"
        )
    goals = _find(rows, GOAL)
    if len(goals) > 1:
        raise ValueError(f"maze has {len(goals)} goals, at {goals}; mark at most one cell with 'G'")
    if not goals and not _find(rows, FREE):
        raise ValueError("maze has no free cell; mark at least one with 'O' or 'G'")
    height, width = len(rows), len(rows[0])
    for i, j in _find(rows, FREE) + goals:
        if i in (0, height - 1) or j in (0, width - 1):
            raise ValueError(
                f"maze is open at row {i}, column {j}; its border must be all '#', so that the "
                f"point cannot leave"
            )
