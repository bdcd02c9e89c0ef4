"""The board: a position, its moves, and its forms as a game, a grid or an observation."""

from __future__ import annotations

import operator
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lpt_envs.connect_four.bitboard import (
    CELLS,
    COLUMNS,
    FULL,
    ROWS,
    STRIDE,
    TOP,
    check,
    has_four,
    mirrored,
    reachable,
)

__all__ = ["CELLS", "COLUMNS", "ROWS", "Board"]

_TOPS = tuple(1 << column * STRIDE + ROWS - 1 for column in range(COLUMNS))
_BOTTOMS = tuple(1 << column * STRIDE for column in range(COLUMNS))


def _open_columns() -> dict[int, tuple[int, ...]]:
    """Return the open columns by the occupied cells of the top row."""
    table = {}
    for full in range(1 << COLUMNS):
        key = sum(top for column, top in enumerate(_TOPS) if full >> column & 1)
        table[key] = tuple(column for column in range(COLUMNS) if not full >> column & 1)
    return table


_OPEN = _open_columns()


@dataclass(frozen=True, slots=True)
class Board:
    """A position of a game between the first and the second player; `Board()` is empty."""

    own: int = 0
    """The discs of the player to move, bit column * 7 + height."""
    mask: int = 0
    """All discs."""

    def __post_init__(self) -> None:
        # plain integers of unbounded size: numpy's would wrap round in the shifts
        object.__setattr__(self, "own", operator.index(self.own))
        object.__setattr__(self, "mask", operator.index(self.mask))
        check(self.own, self.mask)

    @property
    def ply(self) -> int:
        """The number of discs on the board."""
        return self.mask.bit_count()

    @property
    def legal(self) -> tuple[int, ...]:
        """The columns that are not full, from the left (whether or not the game is over)."""
        return _OPEN[self.mask & TOP]

    @property
    def won(self) -> bool:
        """Whether the player who just moved has four in a line."""
        return has_four(self.own ^ self.mask)

    @property
    def full(self) -> bool:
        """Whether all 42 cells are taken."""
        return self.mask == FULL

    @property
    def over(self) -> bool:
        """Whether the game is won or the board full."""
        return self.mask == FULL or has_four(self.own ^ self.mask)

    def is_legal(self, column: int) -> bool:
        """Return whether the column exists and is not full."""
        return 0 <= column < COLUMNS and not self.mask & _TOPS[column]

    def play(self, column: int) -> Board:
        """Return the position after a disc in a column.

        Raises:
            ValueError: The column is out of range or full, or the game is over.
        """
        column = _checked_column(column)
        if self.mask & _TOPS[column]:
            raise ValueError(f"column {column} is full; open columns: {_names(self.legal)}")
        other = self.own ^ self.mask
        if has_four(other):
            raise ValueError("the game is over: the player who just moved has four in a line")
        return _trusted(other, self.mask | (self.mask + _BOTTOMS[column]))

    def resolve(self, column: int) -> int:
        """Return the column played when this one is asked for: the leftmost open one if full.

        Raises:
            ValueError: The column is out of range, or the board is full.
        """
        column = _checked_column(column)
        if not self.mask & _TOPS[column]:
            return column
        if self.mask == FULL:
            raise ValueError("the board is full: no column is open")
        return _OPEN[self.mask & TOP][0]

    def mirror(self) -> Board:
        """Return the position reflected left to right."""
        return _trusted(mirrored(self.own), mirrored(self.mask))

    @classmethod
    def from_moves(cls, moves: str | Iterable[int]) -> Board:
        """Play a game from the empty board.

        Args:
            moves: Columns 0 to 6, as digits (`"3342"`) or integers; both players' in turn.

        Raises:
            ValueError: A move that cannot be played, with its number (from 1), column and why.
        """
        board = _EMPTY
        move: Any
        for number, move in enumerate(moves, 1):
            try:
                board = board.play(_digit(move) if isinstance(move, str) else move)
            except ValueError as error:
                raise ValueError(f"move {number} (column {move}): {error}") from None
        return board

    @classmethod
    def from_grid(cls, grid: ArrayLike) -> Board:
        """Read a grid of discs.

        Args:
            grid: Integers [6, 7]; ROW 0 IS THE BOTTOM; 1 is the first player, 2 the second, 0 an
                empty cell.

        Raises:
            ValueError: Another shape or other numbers, or a board that no game leads to.
        """
        cells = np.asarray(grid)
        if cells.shape != (ROWS, COLUMNS):
            raise ValueError(f"expected a grid of shape ({ROWS}, {COLUMNS}), got {cells.shape}")
        if not np.isin(cells, (0, 1, 2)).all():
            strange = sorted(set(cells[~np.isin(cells, (0, 1, 2))].tolist()))
            raise ValueError(f"a grid holds 0, 1 and 2 only, got {strange}")
        first, second = _bits(cells == 1), _bits(cells == 2)
        own = first if (first | second).bit_count() % 2 == 0 else second
        board = cls(own, first | second)
        if not reachable(first, second):
            raise ValueError("impossible board: no order of alternate moves leads to these discs")
        return board

    def grid(self) -> NDArray[np.int8]:
        """Return the discs, int8 [6, 7], row 0 at the bottom: 1 first player, 2 second, 0 empty."""
        planes = self._planes()
        return np.ascontiguousarray((planes[0] + 2 * planes[1]).T.astype(np.int8))

    def observation(self) -> NDArray[np.float32]:
        """Return the ESPER protocol's observation, float32 [84]: plane * 42 + column * 6 + height.

        Plane 0 holds the first player's discs (the agent's), plane 1 the second's.
        """
        return self._planes().reshape(2 * CELLS).astype(np.float32)

    @classmethod
    def from_observation(cls, observation: ArrayLike) -> Board:
        """Return the inverse of `observation`.

        Raises:
            ValueError: Not 84 zeros and ones, or a board that no game leads to.
        """
        cells = np.asarray(observation)
        if cells.shape != (2 * CELLS,):
            raise ValueError(f"expected an observation of shape ({2 * CELLS},), got {cells.shape}")
        if not np.isin(cells, (0, 1)).all():
            raise ValueError("an observation holds zeros and ones only")
        planes = cells.reshape(2, COLUMNS, ROWS).astype(np.int8)
        if (planes[0] & planes[1]).any():
            raise ValueError("impossible board: a cell holds discs of both players")
        return cls.from_grid((planes[0] + 2 * planes[1]).T)

    def _planes(self) -> NDArray[np.uint8]:
        """Return the first and second player's discs, uint8 [2, 7, 6] (column, height)."""
        other = self.own ^ self.mask
        first, second = (self.own, other) if self.ply % 2 == 0 else (other, self.own)
        packed = (first | second << 64).to_bytes(16, "little")
        bits = np.unpackbits(np.frombuffer(packed, np.uint8), bitorder="little").reshape(2, 64)
        return bits[:, : COLUMNS * STRIDE].reshape(2, COLUMNS, STRIDE)[:, :, :ROWS]


def _trusted(own: int, mask: int) -> Board:
    """Return a board without the checks, for positions known to be right: play is the hot path."""
    board = object.__new__(Board)
    object.__setattr__(board, "own", own)
    object.__setattr__(board, "mask", mask)
    return board


def _bits(cells: NDArray[np.bool_]) -> int:
    """Return the bitboard of a boolean grid [6, 7]."""
    rows, columns = np.nonzero(cells)
    pairs = zip(columns.tolist(), rows.tolist(), strict=True)
    return sum(1 << column * STRIDE + row for column, row in pairs)


def _checked_column(column: int) -> int:
    column = operator.index(column)
    if not 0 <= column < COLUMNS:
        raise ValueError(f"column {column} is out of range: columns are 0 to {COLUMNS - 1}")
    return column


def _digit(character: str) -> int:
    if len(character) != 1 or character not in "0123456789":
        raise ValueError(f"expected a digit 0 to {COLUMNS - 1}, got {character!r}")
    return int(character)


def _names(columns: tuple[int, ...]) -> str:
    return ", ".join(map(str, columns)) or "none"


_EMPTY = Board()
