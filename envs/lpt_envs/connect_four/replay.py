"""Replaying many games at once: rules, positions and results.

A game is a string of digits, the columns of both players in turn. The first player's are those
ASKED FOR: a full column means the leftmost open one (ESPER's remap). The second player's are those
played. Shapes: `n` games, `S` moves of the first player, games end to end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lpt_envs.connect_four.board import COLUMNS, ROWS

__all__ = ["IllegalGame", "Replay", "observations", "replay"]

_STRIDE = ROWS + 1
_CELLS = COLUMNS * ROWS
_CHUNK = 65536
_BITS = np.array([c * _STRIDE + h for c in range(COLUMNS) for h in range(ROWS)], np.uint64)


class IllegalGame(ValueError):
    """A game that breaks the rules: `game` (its number, from 0), `move` (from 1) and `reason`."""

    def __init__(self, game: int, move: int, reason: str) -> None:
        self.game, self.move, self.reason = game, move, reason
        super().__init__(f"game {game + 1}, move {move}: {reason}")


@dataclass(frozen=True, eq=False, kw_only=True)
class Replay:
    """Games in arrays."""

    offsets: np.ndarray
    """[n+1] int64; game i is the steps offsets[i] to offsets[i+1] - 1."""
    actions: np.ndarray
    """[S] int64, the columns that the first player asked for."""
    first: np.ndarray
    """[S] uint64, the first player's discs before the step, bit column * 7 + height."""
    second: np.ndarray
    """[S] uint64, the second player's."""
    results: np.ndarray
    """[n] int8, +1 if the first player won, 0 for a draw, -1 if the second one won."""
    plies: np.ndarray
    """[n] int64, discs on the board at the end."""
    played: np.ndarray
    """[n, 42] int8, the columns that both players' discs went to, -1 after the end."""
    final_first: np.ndarray
    """[n] uint64, the first player's discs at the end."""
    final_second: np.ndarray
    """[n] uint64, the second player's."""


def replay(games: Sequence[str]) -> Replay:
    """Play games by the rules.

    Args:
        games: Whole games, one string of digits each.

    Raises:
        IllegalGame: The first game that is illegal, goes on after its end, or is not finished.
    """
    count = len(games)
    lengths = np.array([len(game) for game in games], np.int64)
    columns = _columns(games)
    steps = (lengths + 1) // 2
    taken = np.arange(ROWS * COLUMNS // 2) < steps[:, None]  # [n, 21]
    stones = np.zeros((2, count), np.uint64)
    history = np.zeros((2, *taken.shape), np.uint64)
    heights, played = np.zeros((count, COLUMNS), np.int64), np.full((count, _CELLS), -1, np.int8)
    state = _State(heights, stones, np.zeros(count, bool), played)
    errors: dict[int, tuple[int, str]] = {}
    going = np.arange(count)
    for ply in range(_CELLS + 1):
        going = _without_errors(going, lengths, columns, state, ply, errors)
        if len(going) == 0:
            break
        if ply % 2 == 0:
            history[:, going, ply // 2] = stones[:, going]
        state.play(going, columns[going, ply], ply)
    if errors:
        game = min(errors)
        raise IllegalGame(game, *errors[game])
    results = np.where(state.won, np.where(lengths % 2 == 1, 1, -1), 0).astype(np.int8)
    return Replay(
        offsets=np.concatenate([[0], np.cumsum(steps)]).astype(np.int64),
        actions=columns[:, :_CELLS:2][taken].astype(np.int64),
        first=history[0][taken],
        second=history[1][taken],
        results=results,
        plies=lengths,
        played=state.played,
        final_first=stones[0],
        final_second=stones[1],
    )


def observations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the protocol's observations, float32 [S, 84]: plane * 42 + column * 6 + height.

    Args:
        first: [S] uint64, the first player's discs (plane 0).
        second: [S] uint64, the second player's (plane 1).
    """
    out = np.empty((len(first), 2 * _CELLS), np.float32)
    for start in range(0, len(first), _CHUNK):
        rows = slice(start, start + _CHUNK)
        for plane, stones in enumerate((first, second)):
            cells = (stones[rows, None] >> _BITS) & np.uint64(1)
            out[rows, plane * _CELLS : (plane + 1) * _CELLS] = cells
    return out


def _columns(games: Sequence[str]) -> np.ndarray:
    """Return the digits, int64 [n, 43]; other characters and the padding lie outside 0 to 9."""
    width = _CELLS + 1  # a longer game went on after its end, which shows by then
    text = "".join(game[:width].ljust(width, "~") for game in games)
    raw = np.frombuffer(text.encode("ascii", "replace"), np.uint8).reshape(-1, width)
    return raw.astype(np.int64) - ord("0")


@dataclass
class _State:
    """All games' boards: heights [n, 7], stones [2, n], won [n] by whoever just moved."""

    heights: np.ndarray
    stones: np.ndarray
    won: np.ndarray
    played: np.ndarray

    def play(self, games: np.ndarray, columns: np.ndarray, ply: int) -> None:
        full = self.heights[games, columns] == ROWS
        if full.any():
            open_columns = self.heights[games[full]] < ROWS
            columns = columns.copy()
            columns[full] = open_columns.argmax(axis=1)
        self.played[games, ply] = columns
        bits = (columns * _STRIDE + self.heights[games, columns]).astype(np.uint64)
        mine = self.stones[ply % 2, games] | (np.uint64(1) << bits)
        self.stones[ply % 2, games] = mine
        self.heights[games, columns] += 1
        self.won[games] = _has_four(mine)


def _has_four(stones: np.ndarray) -> np.ndarray:
    won = np.zeros(len(stones), bool)
    for shift in (1, _STRIDE - 1, _STRIDE, _STRIDE + 1):
        pairs = stones & (stones >> np.uint64(shift))
        won |= (pairs & (pairs >> np.uint64(2 * shift))) != 0
    return won


def _without_errors(
    going: np.ndarray,
    lengths: np.ndarray,
    columns: np.ndarray,
    state: _State,
    ply: int,
    errors: dict[int, tuple[int, str]],
) -> np.ndarray:
    """Return the games that make a legal move now; enter the others into `errors`."""
    moving = lengths[going] > ply
    over = state.won[going] | (ply == _CELLS)
    for game in going[~moving & ~over]:
        errors[int(game)] = (ply, "the game is not finished: nobody has four and cells are free")
    for game in going[moving & over]:
        errors[int(game)] = (ply + 1, _after_the_end(state, int(game), ply))
    going = going[moving & ~over]
    asked = columns[going, ply]
    wrong = (asked < 0) | (asked >= COLUMNS)
    for game, column in zip(going[wrong].tolist(), asked[wrong].tolist(), strict=True):
        reason = f"column {column} is out of range: columns are 0 to {COLUMNS - 1}"
        if not 0 <= column <= 9:
            reason = f"not a digit: a move is a column 0 to {COLUMNS - 1}"
        errors[game] = (ply + 1, reason)
    going, asked = going[~wrong], asked[~wrong]
    if ply % 2 == 1:
        full = state.heights[going, asked] == ROWS
        for game, column in zip(going[full].tolist(), asked[full].tolist(), strict=True):
            reason = f"column {column} is full (only the first player's moves are remapped)"
            errors[game] = (ply + 1, reason)
        going = going[~full]
    return going


def _after_the_end(state: _State, game: int, ply: int) -> str:
    if not state.won[game]:
        return "the game was over: the board was full"
    winner = "first" if ply % 2 == 1 else "second"
    return f"the game was over: the {winner} player had won with move {ply}"
