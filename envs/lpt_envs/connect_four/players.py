"""The players whose games make the data sets, after ESPER's protocol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from lpt_envs.connect_four.board import COLUMNS, Board
from lpt_envs.connect_four.opponents import optimal_move

__all__ = ["MIXTURES", "EpsGreedy", "Mixture", "Player", "Specialized"]

LAST = COLUMNS - 1
"""The column that the opponent blunders in."""


class Player(Protocol):
    """A player of the first discs."""

    @property
    def letter(self) -> str:
        """One letter, distinct within a mixture, that a games file names the player by."""

    @property
    def name(self) -> str:
        """The player in words."""

    def act(self, board: Board, step: int, rng: np.random.Generator) -> int:
        """Return the column asked for (it may be full: the game then takes the leftmost open one).

        Args:
            board: The position, with the player to move.
            step: The number of the player's move, from 0.
            rng: Source of everything random.
        """


@dataclass(frozen=True, kw_only=True)
class Specialized:
    """Plays for the opponent's blunder: the last column, then nearly at random.

    The first `opening` moves ask for column 6; later ones do so with probability `later`, and
    else for a uniform column of 0 to 5.
    """

    letter: str = "s"
    opening: int = 5
    later: float = 0.1

    @property
    def name(self) -> str:
        """The player in words."""
        return "specialized"

    def act(self, board: Board, step: int, rng: np.random.Generator) -> int:
        """Return the column asked for, see `Player`."""
        if step < self.opening or rng.random() < self.later:
            return LAST
        return int(rng.integers(LAST))


@dataclass(frozen=True, kw_only=True)
class EpsGreedy:
    """Plays the leftmost optimal move, but with probability `epsilon` asks for any column."""

    letter: str = "e"
    epsilon: float = 0.01

    @property
    def name(self) -> str:
        """The player in words."""
        return f"eps-greedy {self.epsilon:g}"

    def act(self, board: Board, step: int, rng: np.random.Generator) -> int:
        """Return the column asked for, see `Player`."""
        if rng.random() < self.epsilon:
            return int(rng.integers(COLUMNS))
        return optimal_move(board)


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """Whose games a data set holds: each game's player is drawn anew, by weight."""

    players: tuple[Player, ...]
    """The players."""
    weights: tuple[float, ...]
    """Their probabilities, which sum to one."""
    steps: int | None = None
    """Agent's moves of the whole data set (its last game is finished), or None."""
    games: int | None = None
    """Games of the whole data set, where `steps` is None."""

    @property
    def names(self) -> dict[str, str]:
        """The players' names by letter."""
        return {player.letter: player.name for player in self.players}

    def draw(self, rng: np.random.Generator) -> Player:
        """Draw a game's player."""
        point = rng.random()
        for player, weight in zip(self.players, self.weights, strict=True):
            point -= weight
            if point < 0:
                return player
        return self.players[-1]


MIXTURES: dict[str, Mixture] = {
    # ESPER's data: half the games gamble on the opponent's blunder, half are played well.
    "esper": Mixture(
        players=(Specialized(), EpsGreedy(epsilon=0.01)), weights=(0.5, 0.5), steps=1_000_000
    ),
    # So many gambles that the most frequent first move of won games is the bad one.
    "gamble": Mixture(
        players=(Specialized(), EpsGreedy(epsilon=0.01)), weights=(0.9, 0.1), steps=1_000_000
    ),
    # Many different games of every quality: what needs generalization.
    "mixed": Mixture(
        players=(
            Specialized(),
            EpsGreedy(letter="e", epsilon=0.01),
            EpsGreedy(letter="f", epsilon=0.1),
            EpsGreedy(letter="g", epsilon=0.3),
        ),
        weights=(0.25, 0.25, 0.25, 0.25),
        games=20_000,
    ),
}
"""The mixtures of the data sets by name."""
