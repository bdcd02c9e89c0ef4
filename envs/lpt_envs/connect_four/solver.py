"""Exact scores and best moves of any position.

Scores count from the player to move: (43 - n) // 2 for a win with the game's n-th disc, counted
from 0, its negative for a loss, 0 for a draw; so sooner wins and later losses score higher, and the
seven first moves -2, -1, 0, 1, 0, -1, -2. Up to nine discs the answers come from a packaged table;
beyond, `lpt_envs.connect_four.kernel` searches, with numba if it can be imported and in plain
Python otherwise (or where `LPT_NO_NUMBA=1`): the same answers, some hundred times later.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import NamedTuple

from lpt_envs.connect_four.board import COLUMNS, Board
from lpt_envs.connect_four.good_play import good_play_columns
from lpt_envs.connect_four.opening import (
    REPLY_PLY,
    SCORE_PLY,
    opening_replies,
    opening_score,
)

__all__ = ["Analysis", "analyze", "backend", "best_move"]

_REMEMBERED = 1 << 20
"""Best moves kept, about 100 MB."""
_best_moves: dict[int, int] = {}


@dataclass(frozen=True)
class Analysis:
    """The exact values of a position."""

    score: int
    """The score under best play, for the player to move."""
    scores: tuple[int | None, ...]
    """The score after a disc in each of the seven columns, for the player who moves there; None
    for a full column."""
    best: tuple[int, ...]
    """The columns that reach `score`, from the left; `best[0]` is the protocol's move."""

    @property
    def outcomes(self) -> tuple[int | None, ...]:
        """What each column leads to for the player to move: +1 win, 0 draw, -1 loss; None: full."""
        return tuple(None if score is None else _sign(score) for score in self.scores)

    @property
    def keeps_value(self) -> tuple[bool, ...]:
        """Whether each column leads to the best outcome there is, however late; [7]."""
        return tuple(outcome == _sign(self.score) for outcome in self.outcomes)


def _sign(score: int) -> int:
    return (score > 0) - (score < 0)


def analyze(board: Board) -> Analysis:
    """Return the exact score of each move.

    With numba a position of ten discs takes about a second, of thirteen a tenth, of sixteen or
    more some milliseconds; up to eight discs it is a look-up.

    Raises:
        ValueError: The game is over.
    """
    _require_unfinished(board)
    return _analyzed(board.own, board.mask)


def best_move(board: Board) -> int:
    """Return the leftmost best column, `analyze(board).best[0]`; the fast path.

    Remembers its answers, so that a position met again takes well under a microsecond.

    Raises:
        ValueError: The game is over.
    """
    key = board.own + board.mask
    column = _best_moves.get(key)
    if column is None:
        _require_unfinished(board)
        column = _found(board)
        if len(_best_moves) >= _REMEMBERED:
            _best_moves.clear()
        _best_moves[key] = column
    return column


def backend() -> str:
    """Return what the search runs in, `numba` or `python`."""
    return str(_search().kernel.BACKEND)


class _Search(NamedTuple):
    kernel: ModuleType
    table: object


@lru_cache(maxsize=1)
def _search() -> _Search:
    """Return the search and its table, made when first needed: numba is slow to import."""
    from lpt_envs.connect_four import kernel

    return _Search(kernel, kernel.new_table())


def _require_unfinished(board: Board) -> None:
    if board.over:
        end = "the player who just moved has four in a line" if board.won else "the board is full"
        raise ValueError(f"the game is over: {end}; there is no move to find")


def _found(board: Board) -> int:
    ply = board.ply
    if ply <= REPLY_PLY and ply % 2 == 1:
        column = opening_replies().get(board.own + board.mask)
        if column is not None:
            return column
    if ply < SCORE_PLY:
        return _analyzed(board.own, board.mask).best[0]
    column = good_play_columns().get(board.own + board.mask)
    if column is not None:
        return column
    kernel, table = _search()
    return int(kernel.leftmost(board.own, board.mask, ply, table))


@lru_cache(maxsize=1 << 16)
def _analyzed(own: int, mask: int) -> Analysis:
    board = Board(own, mask)
    scores = tuple(
        _move_score(board, column) if board.is_legal(column) else None for column in range(COLUMNS)
    )
    best = max(score for score in scores if score is not None)
    return Analysis(best, scores, tuple(c for c, score in enumerate(scores) if score == best))


def _move_score(board: Board, column: int) -> int:
    child = board.play(column)
    if child.won:
        return (43 - board.ply) // 2
    if child.full:
        return 0
    score = opening_score(child.own, child.mask)
    if score is None:
        kernel, table = _search()
        score = int(kernel.solve(child.own, child.mask, child.ply, table))
    return -score
