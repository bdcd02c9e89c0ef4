"""The players that reply to the agent: the ESPER protocol's, a perfect one, and weaker ones.

An opponent keeps nothing between moves: a reply depends on the board and on the random numbers that
the environment hands it, so that a seed fixes the game.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Protocol, runtime_checkable

import numpy as np

from lpt_envs.connect_four.board import COLUMNS, Board
from lpt_envs.connect_four.solver import best_move

__all__ = [
    "OPPONENTS",
    "EpsGreedy",
    "Esper",
    "Opponent",
    "Optimal",
    "Random",
    "make_opponent",
    "optimal_move",
    "reply_column",
]

optimal_move = best_move
"""The protocol's optimal move: the leftmost of the solver's best."""


@runtime_checkable
class Opponent(Protocol):
    """Whoever replies to the agent."""

    def reply(self, board: Board, rng: np.random.Generator) -> int:
        """Choose a column for the player to move; a full one becomes the leftmost open one."""
        ...


Reply = Callable[[Board, np.random.Generator], int]
"""A function that does what `Opponent.reply` does."""


@dataclass(frozen=True, slots=True)
class Optimal:
    """Perfect play; of equally good moves the leftmost."""

    def reply(self, board: Board, rng: np.random.Generator) -> int:
        """Return the leftmost best move."""
        return best_move(board)


@dataclass(frozen=True, slots=True)
class Esper:
    """The ESPER protocol's opponent: perfect, but careless where column 6 is best."""

    blunder: float = 0.2
    """Probability of a uniform move in columns 0 to 5 where the leftmost best is 6. Nothing else
    is random, and no random number is drawn elsewhere."""

    def reply(self, board: Board, rng: np.random.Generator) -> int:
        """Return the leftmost best move or the blunder; a full column becomes the leftmost open."""
        move = best_move(board)
        if move == COLUMNS - 1 and rng.random() < self.blunder:
            return board.resolve(int((COLUMNS - 1) * rng.random()))
        return move


@dataclass(frozen=True, slots=True)
class EpsGreedy:
    """Perfect play, but with probability `epsilon` a uniform open column."""

    epsilon: float = 0.1

    def reply(self, board: Board, rng: np.random.Generator) -> int:
        """Return the leftmost best move or a uniform open column."""
        if rng.random() < self.epsilon:
            return _uniform(board, rng)
        return best_move(board)


@dataclass(frozen=True, slots=True)
class Random:
    """A uniform open column."""

    def reply(self, board: Board, rng: np.random.Generator) -> int:
        """Return a uniform open column."""
        return _uniform(board, rng)


@dataclass(frozen=True, slots=True)
class _Function:
    """A plain function as an opponent."""

    function: Reply

    def reply(self, board: Board, rng: np.random.Generator) -> int:
        return self.function(board, rng)


OPPONENTS = ("esper", "optimal", "eps-greedy", "random")
"""Names that `make_opponent` knows."""


def make_opponent(opponent: str | Opponent | Reply, epsilon: float = 0.1) -> Opponent:
    """Return an opponent by its name, or one's own.

    Args:
        opponent: A name in `OPPONENTS`, an object with a method `reply(board, rng)`, or a function
            of the same arguments that returns a column.
        epsilon: Probability of a uniform open column, for `"eps-greedy"`.

    Raises:
        ValueError: Neither a known name nor something to call, or epsilon outside [0, 1].
    """
    if not (isinstance(epsilon, Real) and 0.0 <= epsilon <= 1.0):
        raise ValueError(f"epsilon must be a probability in [0, 1], got {epsilon!r}")
    if isinstance(opponent, str):
        if opponent not in OPPONENTS:
            raise ValueError(f"opponent must be one of {', '.join(OPPONENTS)}, got {opponent!r}")
        named = (Esper(), Optimal(), EpsGreedy(epsilon), Random())
        return named[OPPONENTS.index(opponent)]
    if isinstance(opponent, type):
        raise ValueError(f"opponent is the class {opponent.__name__}: pass an instance of it")
    if isinstance(opponent, Opponent):
        return opponent
    if callable(opponent):
        return _Function(opponent)
    raise ValueError(
        f"opponent must be one of {', '.join(OPPONENTS)}, a function reply(board, rng) or an "
        f"object with such a method, got {opponent!r}"
    )


def reply_column(opponent: Opponent, board: Board, rng: np.random.Generator) -> int:
    """Return the open column that the opponent plays.

    Raises:
        ValueError: The opponent returned something else than a column.
    """
    choice = opponent.reply(board, rng)
    try:
        return board.resolve(operator.index(choice))
    except (TypeError, ValueError):
        raise ValueError(
            f"the opponent {opponent!r} returned {choice!r}, expected a column, 0 to {COLUMNS - 1}"
        ) from None


def _uniform(board: Board, rng: np.random.Generator) -> int:
    columns = board.legal
    return columns[int(len(columns) * rng.random())]
