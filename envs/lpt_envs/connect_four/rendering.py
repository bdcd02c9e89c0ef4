"""The board as colored text and as an image, in plain numpy.

Images are drawn by signed distances: a shape covers a pixel by how far the pixel's center lies
inside its outline (from half a pixel without to half a pixel within), which smooths all edges.
"""

from __future__ import annotations

import os
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lpt_envs.connect_four.board import COLUMNS, ROWS, Board

__all__ = ["COLORS", "colored", "to_image", "to_text", "winning_cells"]

Color = tuple[int, int, int]

COLORS: dict[str, Color] = {
    "board": (33, 84, 166),
    "edge": (24, 62, 126),
    "empty": (18, 46, 98),
    "agent": (214, 52, 56),
    "agent rim": (166, 30, 38),
    "opponent": (250, 205, 62),
    "opponent rim": (214, 160, 26),
    "ring": (255, 255, 255),
    "mark": (26, 30, 40),
    "label": (233, 238, 246),
}
"""Red, green, blue of what an image shows; the first player is the agent."""

_PLAYERS = ("empty", "agent", "opponent")
_RESET, _BOLD = "\033[0m", "\033[1m"
_CODES = ("\033[90m", "\033[1;31m", "\033[1;33m")
_FRAME_CODE = "\033[34m"
_LINES = ((0, 1), (1, 0), (1, 1), (1, -1))

# strokes of the column numbers in a box of width 0.6 and height 1, y downwards
_DIGITS: tuple[tuple[tuple[float, float], ...], ...] = (
    ((0.2, 0), (0.4, 0), (0.6, 0.2), (0.6, 0.8), (0.4, 1), (0.2, 1), (0, 0.8), (0, 0.2), (0.2, 0)),
    ((0.1, 0.2), (0.35, 0), (0.35, 1)),
    ((0, 0.2), (0.2, 0), (0.4, 0), (0.6, 0.2), (0.6, 0.4), (0, 1), (0.6, 1)),
    ((0, 0), (0.6, 0), (0.3, 0.4), (0.6, 0.6), (0.6, 0.8), (0.4, 1), (0.2, 1), (0, 0.85)),
    ((0.45, 1), (0.45, 0), (0, 0.7), (0.6, 0.7)),
    ((0.55, 0), (0.05, 0), (0.05, 0.42), (0.4, 0.42), (0.6, 0.6), (0.6, 0.8), (0.4, 1), (0, 1)),
    ((0.5, 0), (0.1, 0.4), (0, 0.65), (0, 0.8), (0.2, 1), (0.4, 1), (0.6, 0.8), (0.6, 0.65),
     (0.4, 0.5), (0.05, 0.55)),
)  # fmt: skip


def winning_cells(board: Board) -> NDArray[np.bool_]:
    """Return the cells of every line of four or more.

    Returns:
        Booleans [6, 7], row 0 at the bottom; all false if nobody has won.
    """
    grid = board.grid()
    cells = np.zeros((ROWS, COLUMNS), bool)
    if not board.won:
        return cells
    for row in range(ROWS):
        for column in range(COLUMNS):
            for up, right in _LINES:
                rows = [row + i * up for i in range(4)]
                columns = [column + i * right for i in range(4)]
                if max(rows) >= ROWS or not 0 <= min(columns) <= max(columns) < COLUMNS:
                    continue
                line = grid[rows, columns]
                if line[0] and (line == line[0]).all():
                    cells[rows, columns] = True
    return cells


def colored() -> bool:
    """Return whether text should be colored: not with NO_COLOR set, nor on a dumb terminal."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def to_text(
    board: Board, last: int | None = None, *, color: bool | None = None, note: str | None = None
) -> str:
    """Return the board as nine lines and a line that says how the game stands, 40 columns wide.

    The first player's discs are X, the second's O; with colors both are dots, red and yellow.
    Brackets enclose the winning four, and a `v` above points at the column of the last disc.

    Args:
        board: The position.
        last: Column of the last disc.
        color: Use terminal colors; None decides by `colored`.
        note: Last line instead of how the game stands.
    """
    color = colored() if color is None else color
    grid, ring = board.grid(), winning_cells(board)
    letters = ".●●" if color else ".XO"

    def paint(text: str, code: str) -> str:
        return f"{code}{text}{_RESET}" if color else text

    def cell(row: int, column: int) -> str:
        player = grid[row, column]
        left, right = (paint("[", _BOLD), paint("]", _BOLD)) if ring[row, column] else "  "
        return left + paint(letters[player], _CODES[player]) + right

    wall = paint("|", _FRAME_CODE)
    pointer = " " if last is None else " " * (2 + 3 * last) + paint("v", _BOLD)
    lines = [pointer.rstrip()]
    for row in reversed(range(ROWS)):
        lines.append(wall + "".join(cell(row, column) for column in range(COLUMNS)) + wall)
    lines.append(paint("+" + "-" * 3 * COLUMNS + "+", _FRAME_CODE))
    lines.append(" " + "".join(f" {column} " for column in range(COLUMNS)).rstrip())
    agent = paint(f"agent {letters[1]}", _CODES[1])
    opponent = paint(f"opponent {letters[2]}", _CODES[2])
    lines.append(_standing(board, (agent, opponent)) if note is None else note)
    return "\n".join(lines)


def _standing(board: Board, names: tuple[str, str]) -> str:
    if board.won:
        return f"{names[(board.ply + 1) % 2]} wins"
    return "draw" if board.full else f"{names[board.ply % 2]} to move"


def to_image(board: Board, last: int | None = None, *, cell: int = 80) -> NDArray[np.uint8]:
    """Draw the board.

    A white ring marks each disc of the winning four, a dark dot the last disc.

    Args:
        board: The position; the first player (the agent) is red, the second yellow.
        last: Column of the last disc.
        cell: A cell's side in pixels; with a multiple of 16 all of the image's sides are too, as
            video encoders want them.

    Returns:
        uint8 [6.4 * cell, 7 * cell, 3] (the strip with the numbers rounded to multiples of 16).

    Raises:
        ValueError: `cell` is below 16.
    """
    if cell < 16:
        raise ValueError(f"cell must be at least 16 pixels, got {cell}")
    grid, ring = board.grid(), winning_cells(board)
    strip = _numbers(cell)
    image = np.empty((ROWS * cell + len(strip), COLUMNS * cell, 3), np.uint8)
    image[ROWS * cell :] = strip
    top = None if last is None else int(np.count_nonzero(grid[:, last])) - 1
    for row in range(ROWS):
        for column in range(COLUMNS):
            down = (ROWS - 1 - row) * cell
            image[down : down + cell, column * cell : (column + 1) * cell] = _tile(
                _PLAYERS[grid[row, column]],
                bool(ring[row, column]),
                (row, column) == (top, last),
                cell,
            )
    return image


@lru_cache(maxsize=64)
def _tile(player: str, ring: bool, mark: bool, cell: int) -> NDArray[np.uint8]:
    """Return one cell of the board, [cell, cell, 3]."""
    pixels = np.broadcast_to(np.array(COLORS["board"], float), (cell, cell, 3))
    axis = np.arange(cell) + 0.5 - cell / 2
    distance = np.hypot(axis[:, None], axis[None, :])
    discs = [(0.445, "edge"), (0.41, "empty")]
    if player != "empty":
        discs = [(0.445, "edge"), (0.41, f"{player} rim"), (0.33, player)]
    for radius, color in discs:
        pixels = _cover(pixels, radius * cell - distance, COLORS[color])
    if ring:
        width = 0.035 * cell
        pixels = _cover(pixels, width - np.abs(distance - 0.385 * cell), COLORS["ring"])
    if mark:
        pixels = _cover(pixels, 0.085 * cell - distance, COLORS["mark"])
    return pixels.round().astype(np.uint8)


@lru_cache(maxsize=8)
def _numbers(cell: int) -> NDArray[np.uint8]:
    """Return the strip with the columns' numbers, [about 0.4 * cell, 7 * cell, 3]."""
    height = max(16, round(0.4 * cell / 16) * 16)
    size = 0.5 * height  # of a digit
    y, x = np.mgrid[:height, :cell] + 0.5
    pieces = []
    for digit in _DIGITS:
        points = np.array(digit) * size + ((cell - 0.6 * size) / 2, (height - size) / 2)
        distance = np.min([_to_segment(x, y, a, b) for a, b in pairwise(points)], axis=0)
        pixels = np.broadcast_to(np.array(COLORS["edge"], float), (height, cell, 3))
        pieces.append(_cover(pixels, 0.08 * size - distance, COLORS["label"]))
    return np.concatenate(pieces, axis=1).round().astype(np.uint8)


def _cover(
    pixels: NDArray[np.float64], inside: NDArray[np.float64], color: Color
) -> NDArray[np.float64]:
    """Blend a color over pixels [h, w, 3] that lie `inside` [h, w] pixels within an outline."""
    share = np.clip(inside + 0.5, 0.0, 1.0)[..., None]
    return np.asarray(pixels * (1.0 - share) + share * np.array(color, float))


def _to_segment(
    x: NDArray[np.float64], y: NDArray[np.float64], a: NDArray[np.float64], b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the distance of points (x, y) from the segment between a and b."""
    along = b - a
    share = ((x - a[0]) * along[0] + (y - a[1]) * along[1]) / (along @ along)
    share = np.clip(share, 0.0, 1.0)
    return np.asarray(np.hypot(x - a[0] - share * along[0], y - a[1] - share * along[1]))
