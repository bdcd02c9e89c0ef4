"""Games of behavior players against an opponent, and the text that keeps them.

A games file is UTF-8 text. Lines at its top that begin with `#` are comments, except that one may
hold a header, a JSON object. Each other line is a finished game: its moves as in
`lpt_envs.connect_four.replay`, then, if known, a space and one letter that names the player.

    # {"format": "connect-four-games", "version": 1, "players": {"s": "specialized", ...}}
    606162636465 s
    3333332442555566 e
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lpt_envs.connect_four.board import COLUMNS, Board
from lpt_envs.connect_four.opponents import make_opponent
from lpt_envs.connect_four.players import Mixture, Player

__all__ = ["Games", "format_games", "generate", "parse_games", "shipped_games"]

FORMAT, VERSION = "connect-four-games", 1
Progress = Callable[[int, int], None]
_EVERY = 1024


@dataclass(frozen=True, kw_only=True)
class Games:
    """Games and who played them."""

    moves: list[str]
    """The columns of each game, one string of digits each; the first player's as asked for."""
    players: list[str]
    """The letter of each game's player, empty where unknown."""
    names: dict[str, str] = field(default_factory=dict)
    """The players' names by letter, as far as known."""

    def __len__(self) -> int:
        return len(self.moves)


def generate(
    mixture: Mixture,
    *,
    steps: int | None = None,
    games: int | None = None,
    seed: int = 0,
    opponent: str = "esper",
    progress: Progress | None = None,
) -> Games:
    """Play games of a mixture of players against an opponent; deterministic in `seed`.

    A shorter data set is the beginning of a longer one of the same seed.

    Args:
        mixture: Who plays.
        steps: Ends with the game in which the first player's moves reach this number.
        games: Ends after this many games. Without `steps` and `games`, the mixture's own size.
        seed: Seed of everything random.
        opponent: Name of the opponent, see `lpt_envs.connect_four.opponents`.
        progress: Called with (done, all), steps or games, now and then.

    Raises:
        ValueError: `steps` or `games` is below 1, both are given, or the opponent is unknown.
    """
    if steps is None and games is None:
        steps, games = mixture.steps, mixture.games
    if steps is not None and games is not None:
        raise ValueError(f"give steps or games, not both (got steps={steps}, games={games})")
    name, goal = ("games", games) if steps is None else ("steps", steps)
    if not isinstance(goal, int | np.integer) or goal < 1:
        raise ValueError(f"{name} must be an integer of at least 1, got {goal!r}")
    rng, start = np.random.default_rng(seed), _Position(Board())
    reply = make_opponent(opponent).reply
    moves: list[str] = []
    players: list[str] = []
    done = 0
    while done < goal:
        player = mixture.draw(rng)
        moves.append(_play(start, player, reply, rng))
        players.append(player.letter)
        done = len(moves) if steps is None else done + (len(moves[-1]) + 1) // 2
        if progress is not None and (len(moves) % _EVERY == 0 or done >= goal):
            progress(min(done, int(goal)), int(goal))
    return Games(moves=moves, players=players, names=mixture.names)


def format_games(games: Games, header: Mapping[str, Any] | None = None) -> str:
    """Return the text of a games file; `header` entries join the format's own."""
    record = {"format": FORMAT, "version": VERSION, "players": games.names, **(header or {})}
    lines = [f"# {json.dumps(record)}"]
    pairs = zip(games.moves, games.players, strict=True)
    lines += [f"{moves} {who}" if who else moves for moves, who in pairs]
    return "\n".join(lines) + "\n"


def parse_games(text: str) -> tuple[Games, dict[str, Any], int]:
    """Read the text of a games file; the games' rules are checked by `replay`.

    Returns:
        The games, the header (empty if there is none), and the number of the first game's line.

    Raises:
        ValueError: The header is malformed, or a line does not hold a game; names the line.
    """
    lines = text.splitlines()
    header: dict[str, Any] = {}
    top = 0
    while top < len(lines) and lines[top].startswith("#"):
        comment = lines[top][1:].strip()
        if comment.startswith("{"):
            if header:
                raise ValueError(f"line {top + 1}: a second header; a file has one")
            header = _header(comment, top + 1)
        top += 1
    pairs = [line.partition(" ") for line in lines[top:]]
    for number, (moves, space, who) in enumerate(pairs, top + 1):
        if not moves:
            raise ValueError(f"line {number}: no moves; each line holds a game, such as '334152'")
        if space and not (len(who) == 1 and who.isalpha()):
            raise ValueError(
                f"line {number}: {who!r} after the moves; expected one letter that names the player"
            )
    if not pairs:
        raise ValueError("no games; each line holds a game, such as '334152'")
    games = Games(
        moves=[moves for moves, _, _ in pairs],
        players=[who for _, _, who in pairs],
        names=header.get("players", {}),
    )
    return games, header, top + 1


def shipped_games(name: str) -> Path:
    """Return where the package would keep the games of a data set, `<name>.games.xz`."""
    return Path(__file__).parent / "data" / f"{name}.games.xz"


class _Position:
    """A node of the tree of positions met so far, so that each is worked out once."""

    __slots__ = ("board", "children", "over")

    def __init__(self, board: Board) -> None:
        self.board, self.over = board, board.over
        self.children: list[_Position | None] = [None] * COLUMNS

    def after(self, column: int) -> _Position:
        child = self.children[column]
        if child is None:
            child = self.children[column] = _Position(self.board.play(self.board.resolve(column)))
        return child


def _play(
    start: _Position,
    player: Player,
    reply: Callable[[Board, np.random.Generator], int],
    rng: np.random.Generator,
) -> str:
    """Return one game's moves."""
    position = start
    moves: list[int] = []
    while not position.over:
        asked = player.act(position.board, len(moves) // 2, rng)
        moves.append(asked)
        position = position.after(asked)
        if not position.over:
            answer = position.board.resolve(reply(position.board, rng))
            moves.append(answer)
            position = position.after(answer)
    return "".join(map(str, moves))


def _header(text: str, number: int) -> dict[str, Any]:
    header: dict[str, Any]
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"line {number}: the header is not JSON ({error})") from error
    kind, version = header.get("format"), header.get("version")
    if kind != FORMAT:
        raise ValueError(f"line {number}: the header's format is {kind!r}, expected {FORMAT!r}")
    if version != VERSION:
        raise ValueError(f"line {number}: the header's version is {version!r}, expected {VERSION}")
    if not isinstance(header.get("last_disc_draw", False), bool):
        raise ValueError(f"line {number}: the header's last_disc_draw must be true or false")
    players = header.get("players", {})
    if not isinstance(players, dict) or not all(isinstance(p, str) for p in players.values()):
        raise ValueError(f"line {number}: the header's players must name letters, {{'s': 'name'}}")
    return header
