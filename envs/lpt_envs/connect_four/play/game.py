"""A game of Connect Four between a trained policy and whoever answers it.

The policy plays the first player, as in its training, and plans once, before the first disc. What
it remembers between moves is a value, so moves can be taken back. Columns are counted from 0 here,
as in the data; the session shows them from 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from lpt_envs.connect_four.board import Board
from lpt_envs.connect_four.solver import analyze, backend

SLOW_PLIES = range(9, 16)
"""Discs on the board when the solver takes many seconds without numba; before, it looks up."""


class Player(Protocol):
    """A policy as a game needs it. Its states are values: none is ever changed."""

    @property
    def name(self) -> str:
        """What it is called, on one line."""

    @property
    def plans(self) -> bool:
        """Whether it predicts what its plan will earn."""

    def plan(self, target: float) -> tuple[float, Any]:
        """Return the predicted return and the first state of a game planned for a return.

        Raises:
            ValueError: if there is no such plan.
        """

    def describe_plan(self, target: float, predicted: float) -> str:
        """Return a sentence on the plan."""

    def probabilities(self, observation: np.ndarray, state: Any) -> np.ndarray:
        """Return the probability `[7]` of asking for each column."""

    def move(self, observation: np.ndarray, state: Any, deterministic: bool) -> tuple[int, Any]:
        """Return the column asked for, the most probable or a drawn one, and the next state."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Turn:
    """One move of the policy."""

    before: Board
    """The position it was made in."""
    probabilities: np.ndarray
    """`[7]` probability of asking for each column, full ones too."""
    asked: int
    """The column asked for."""
    column: int
    """The column played: the leftmost open one if the one asked for is full."""
    after: Board
    """The position it led to."""
    state: Any
    """What the policy remembers after it."""


class Game:
    """One game: the policy's moves and the answers to them.

    The policy has always moved already: `board` is the other player's to answer, or final.
    """

    def __init__(self, player: Player, target: float, deterministic: bool) -> None:
        """Plan, and make the policy's first move.

        Args:
            player: the policy.
            target: return to plan for.
            deterministic: the policy plays its most probable column, else it draws one.

        Raises:
            ValueError: if no plan can be found for the target.
        """
        self.player, self.target, self.deterministic = player, target, deterministic
        self.predicted, state = player.plan(target)
        """Return that the model predicts for the plan."""
        self.replies: list[int] = []
        """Columns of the answers."""
        self.turns = [self._turn(Board(), state)]
        """The policy's moves."""
        self.board = self.turns[0].after
        """The position now."""

    @property
    def last(self) -> int:
        """Column of the last disc."""
        answered = len(self.replies) == len(self.turns)
        return self.replies[-1] if answered else self.turns[-1].column

    @property
    def result(self) -> int | None:
        """The policy's return: +1 win, 0 draw, -1 loss; None while the game goes on."""
        if self.board.won:
            return 1 if self.board.ply % 2 else -1
        return 0 if self.board.full else None

    def answer(self, column: int) -> None:
        """Play a disc against the policy, which moves again unless that ends the game.

        Raises:
            ValueError: if the column is out of range or full, or the game is over.
        """
        board = self.board.play(column)
        if not board.over:
            turn = self._turn(board, self.turns[-1].state)
            self.turns.append(turn)
            board = turn.after
        self.replies.append(column)
        self.board = board

    def take_back(self) -> bool:
        """Undo the last answer and what the policy did then; return False if there is none."""
        if not self.replies:
            return False
        self.replies.pop()
        del self.turns[len(self.replies) + 1 :]
        self.board = self.turns[-1].after
        return True

    def _turn(self, board: Board, state: Any) -> Turn:
        observation = board.observation()
        probabilities = self.player.probabilities(observation, state)
        asked, state = self.player.move(observation, state, self.deterministic)
        column = board.resolve(asked)
        return Turn(
            before=board,
            probabilities=probabilities,
            asked=asked,
            column=column,
            after=board.play(column),
            state=state,
        )


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A move of the policy that gave away a part of the game's value."""

    move: int
    """The policy's how-manieth move, from 1."""
    column: int
    """The column played."""
    before: int
    """The game's value for the policy with perfect play: +1 win, 0 draw, -1 loss."""
    after: int
    """The same after the move."""


@dataclass(frozen=True, kw_only=True)
class Judgment:
    """What the solver says of the policy's moves."""

    moves: int
    """Moves judged: all of them, or without numba those that take no time."""
    mistakes: list[Mistake]
    """Those that did not keep the game's value."""


def judge(turns: list[Turn]) -> Judgment:
    """Find the policy's moves that did not keep the game's value, by the solver.

    Winning later than possible, or losing sooner, is no mistake: only win, draw and loss count.
    """
    quick = [(move, turn) for move, turn in enumerate(turns, 1) if is_quick(turn.before)]
    found = []
    for move, turn in quick:
        analysis = analyze(turn.before)
        if not analysis.keeps_value[turn.column]:
            before, after = (analysis.outcomes[c] for c in (analysis.best[0], turn.column))
            assert before is not None and after is not None  # both columns are open
            found.append(Mistake(move=move, column=turn.column, before=before, after=after))
    return Judgment(moves=len(quick), mistakes=found)


def is_quick(board: Board) -> bool:
    """Return whether a person would wait for the solver's scores of an unfinished game."""
    return board.ply not in SLOW_PLIES or backend() == "numba"


def outcome(board: Board, score: int) -> tuple[int, int]:
    """Return what a solver's score of a move says of an unfinished game.

    Args:
        board: the position before the move.
        score: the move's score for the player to move.

    Returns:
        +1, 0 or -1 for the player to move with perfect play, and the number of discs the winner
        has yet to play, the winning one and the move included (0 for a draw).
    """
    if score == 0:
        return 0, 0
    # Discs the winner would still have if the board were filled; a score k is a win with the
    # k-th last of them.
    left = (43 - board.ply) // 2 if score > 0 else (42 - board.ply) // 2
    return (1 if score > 0 else -1), left - abs(score) + 1
