"""How the games of a file were played, in figures: for people, not part of the data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from lpt.data.formats.games import parse_file, replay_distinct
from lpt_envs.connect_four.board import CELLS, COLUMNS
from lpt_envs.connect_four.games import Games


def read_behavior(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return `behavior` of a games file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: as `read_games`.
    """
    games, _, first_line = parse_file(Path(path))
    return behavior(games, str(path), first_line)


def behavior(games: Games, where: str = "games", first_line: int = 1) -> dict[str, Any]:
    """Return figures of how the games were played, rounded to four digits.

    Sizes, mean length and return, shares of wins, draws and losses, of first moves, and of games
    that the opponent wins with the last disc; the share of wins that began with the last column;
    distinct games (by the discs played, and with what was asked for), distinct states (boards the
    agent moved on); and each player's share and results.
    """
    distinct, ids = replay_distinct(games, where, first_line)
    results, lengths = distinct.results[ids], np.diff(distinct.offsets)[ids]
    first = distinct.actions[distinct.offsets[:-1]][ids]
    won = results > 0
    states = np.stack([distinct.first, distinct.second], axis=1)
    players = np.array(games.players)
    last_disc = (results < 0) & (distinct.plies[ids] == CELLS)
    return {
        "games": len(games),
        "steps": int(lengths.sum()),
        "mean_length": _rounded(lengths.mean()),
        **_outcomes(results),
        "last_disc_losses": _rounded(last_disc.mean()),
        "first_moves": [_rounded((first == column).mean()) for column in range(COLUMNS)],
        "first_move_6_given_win": (
            _rounded((first[won] == COLUMNS - 1).mean()) if won.any() else None
        ),
        "distinct_games": len(np.unique(distinct.played, axis=0)),
        "distinct_games_as_asked": len(distinct.results),
        "distinct_states": len(np.unique(states, axis=0)),
        "players": {
            games.names.get(who, who): {
                "share": _rounded((players == who).mean()),
                **_outcomes(results[players == who]),
            }
            for who in sorted(set(games.players) - {""})
        },
    }


def describe_behavior(record: dict[str, Any]) -> str:
    """Return the lines that `lpt-data info` prints of `behavior`."""
    lines = [f"  {'results':<12} {_outcome_text(record)}"]
    for name, one in record["players"].items():
        lines.append(f"    {name:<14} {one['share']:.3f} of games: {_outcome_text(one)}")
    moves = " ".join(f"{share:.3f}" for share in record["first_moves"])
    six = record["first_move_6_given_win"]
    lines += [
        f"  {'first moves':<12} {moves}" + ("" if six is None else f"; P(6 | win) {six:.3f}"),
        f"  {'distinct':<12} {record['distinct_games']} games, {record['distinct_states']} states",
    ]
    return "\n".join(lines)


def _outcomes(results: np.ndarray) -> dict[str, float]:
    shares = {"win": results > 0, "draw": results == 0, "loss": results < 0}
    return {
        "mean_return": _rounded(results.mean()),
        **{name: _rounded(hits.mean()) for name, hits in shares.items()},
    }


def _outcome_text(record: dict[str, Any]) -> str:
    shares = ", ".join(f"{name} {record[name]:.3f}" for name in ("win", "draw", "loss"))
    return f"mean {record['mean_return']:+.3f} ({shares})"


def _rounded(value: Any) -> float:
    return round(float(value), 4)
