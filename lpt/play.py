"""A game of Connect Four between a trained policy and whoever answers it.

The policy plays the first player, as in its training, and plans once, before the first disc. What
it remembers between moves is a value (:class:`lpt.policy.PolicyState`), so moves can be taken back.
Columns are counted from 0 here, as in the data; ``lpt.cli.play`` shows them from 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lpt.policy import LPTPolicy, PolicyState
from lpt_envs.connect_four.board import COLUMNS, ROWS, Board
from lpt_envs.connect_four.solver import analyse, backend

OBSERVATIONS = 2 * COLUMNS * ROWS
"""Numbers in an observation: one for each cell and player."""
SLOW_PLIES = range(9, 16)
"""Discs on the board when the solver takes many seconds without numba; before, it looks up."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Turn:
    """One move of the policy."""

    before: Board
    """The position it was made in."""
    probabilities: np.ndarray
    """``[7]`` probability of asking for each column, full ones too."""
    asked: int
    """The column asked for."""
    column: int
    """The column played: the leftmost open one if the one asked for is full."""
    after: Board
    """The position it led to."""
    state: PolicyState
    """What the policy remembers after it."""


class Game:
    """One game: the policy's moves and the answers to them.

    The policy has always moved already: ``board`` is the other player's to answer, or final.
    """

    def __init__(
        self, policy: LPTPolicy, target: float, weight: float, deterministic: bool
    ) -> None:
        """Plan, and make the policy's first move.

        Args:
            policy: of Connect Four (:func:`check_policy`).
            target: return to plan for.
            weight: planning weight w.
            deterministic: the policy plays its most probable column, else it draws one.

        Raises:
            ValueError: if the target is not finite, the weight not positive, or either so large
                that planning overflows.
        """
        self.policy, self.target, self.weight = policy, target, weight
        self.deterministic = deterministic
        overflow = ValueError(
            f"no plan can be found for a return of {target:g} with weight {weight:g}: the numbers "
            "overflow; choose a target nearer to the data's returns or a smaller weight"
        )
        if abs(policy.standardised(target)) > float(np.finfo(np.float32).max):
            raise overflow
        plan = policy.plan(target, 1, weight)
        self.predicted = float(policy.predicted_returns(plan)[0])
        """Return that the model predicts for the plan."""
        if not np.isfinite(self.predicted):
            raise overflow
        self.replies: list[int] = []
        """Columns of the answers."""
        self.turns = [self._turn(Board(), policy.begin(plan.z))]
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
        """Undo the last answer and what the policy did then; False if there is none."""
        if not self.replies:
            return False
        self.replies.pop()
        del self.turns[len(self.replies) + 1 :]
        self.board = self.turns[-1].after
        return True

    def _turn(self, board: Board, state: PolicyState) -> Turn:
        observation = board.observation()
        probabilities = self.policy.probabilities(observation, state)[0]
        action, state = self.policy.predict(observation, state, deterministic=self.deterministic)
        column = board.resolve(int(action))
        return Turn(
            before=board,
            probabilities=probabilities,
            asked=int(action),
            column=column,
            after=board.play(column),
            state=state,
        )


def check_policy(policy: LPTPolicy) -> None:
    """Check that a policy plays Connect Four.

    Raises:
        ValueError: if it was trained on other observations or actions; says which.
    """
    spaces = policy.metadata.spaces
    if policy.metadata.algorithm == "dt":
        raise ValueError(
            "a policy of --algorithm dt needs its return-to-go at every step, which lpt-play does "
            "not keep: give a run of another algorithm"
        )
    wanted = (OBSERVATIONS, COLUMNS, True)
    if (spaces.observation_dim, spaces.action_dim, spaces.discrete) != wanted:
        kind = "discrete actions" if spaces.discrete else "continuous action dimensions"
        raise ValueError(
            f"a policy of {policy.metadata.task} cannot play connect-four: it takes "
            f"{spaces.observation_dim} observations and has {spaces.action_dim} {kind}, expected "
            f"{OBSERVATIONS} and {COLUMNS} discrete actions; give a run of "
            "lpt-train --env connect-four"
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
class Judgement:
    """What the solver says of the policy's moves."""

    moves: int
    """Moves judged: all of them, or without numba those that take no time."""
    mistakes: list[Mistake]
    """Those that did not keep the game's value."""


def judge(turns: list[Turn]) -> Judgement:
    """Find the policy's moves that did not keep the game's value, by the solver.

    Winning later than possible, or losing sooner, is no mistake: only win, draw and loss count.
    """
    quick = [(move, turn) for move, turn in enumerate(turns, 1) if is_quick(turn.before)]
    found = []
    for move, turn in quick:
        analysis = analyse(turn.before)
        if not analysis.keeps_value[turn.column]:
            before, after = (analysis.outcomes[c] for c in (analysis.best[0], turn.column))
            assert before is not None and after is not None  # both columns are open
            found.append(Mistake(move=move, column=turn.column, before=before, after=after))
    return Judgement(moves=len(quick), mistakes=found)


def is_quick(board: Board) -> bool:
    """Whether a person would wait for the solver's scores of an unfinished game."""
    return board.ply not in SLOW_PLIES or backend() == "numba"


def outcome(board: Board, score: int) -> tuple[int, int]:
    """What a solver's score of a move says of an unfinished game.

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
