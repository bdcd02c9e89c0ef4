"""Games files of Connect Four: one game a line as a string of moves, boards expanded on reading.

The format is that of `lpt_envs.connect_four.games`, as `.games` or, compressed, `.games.xz`. A
step is the agent's move and the opponent's reply; an observation holds 84 zeros and ones, an action
is the column asked for, and only a game's last step has a reward: +1, 0 or -1.
"""

from __future__ import annotations

import json
import lzma
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lpt.config import DatasetConfig
from lpt.data.dataset import TrajectoryDataset
from lpt.data.limits import check_memory
from lpt.data.provenance import Provenance, file_provenance
from lpt.machine.files import atomic_write
from lpt.machine.untrusted import one_line, parsing, read_bounded
from lpt_envs.connect_four.board import CELLS, COLUMNS
from lpt_envs.connect_four.games import Games, format_games, parse_games
from lpt_envs.connect_four.replay import IllegalGame, Replay, observations, replay

SUFFIXES = (".games", ".games.xz")
"""File endings of games files."""
ENV_ID = "lpt_envs:lpt/ConnectFour-v0"
"""The environment that the games are of."""
LARGEST_TEXT = 16 << 20
"""Bytes of a games file's text, unpacked: a million games."""
_MOST_MEMORY = 128 << 20  # of unpacking; the strongest setting takes 65 MiB
HORIZON = CELLS // 2
"""The longest game, in the agent's moves."""


def read_games(
    path: str | os.PathLike[str],
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    origin: Provenance | None = None,
    last_disc_draw: bool | None = None,
) -> TrajectoryDataset:
    """Read a games file.

    Args:
        path: the file.
        config: options; the defaults if None.
        discrete: must not be False: the actions are columns.
        origin: what the caller knows of the data, see `file_provenance`; a task of another
            environment is set aside.
        last_disc_draw: whether an opponent's win with the last disc, the 42nd, counts as a draw (a
            quirk of the original protocol); None follows the file's header, else False.

    Returns:
        Observations `[S, 84]`, actions `[S]` of 7, every trajectory terminated.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, or a game is illegal or not finished; names the file, the
            line, the move's number and the reason.
    """
    path = Path(path)
    games, header, first_line = parse_file(path)
    text = json.dumps(header["provenance"]) if "provenance" in header else None
    if origin is None or origin.env_id != ENV_ID:
        stored = file_provenance(text, path, "games")
        name = path.name.removesuffix(".xz").removesuffix(".games")
        origin = Provenance("games", stored.id if text else name, ENV_ID)
    if last_disc_draw is None:
        last_disc_draw = header.get("last_disc_draw", False)
    return build_dataset(
        games,
        replace(file_provenance(text, path, "games", origin), env_id=ENV_ID),
        config,
        discrete=discrete,
        last_disc_draw=last_disc_draw,
        first_line=first_line,
    )


def write_games(
    path: str | os.PathLike[str],
    games: Games,
    provenance: Provenance | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Write a games file, compressed if its name ends in `.xz`; atomic.

    Args:
        path: the file to write.
        games: what to write.
        provenance: stored in the header.
        overwrite: replace an existing file.

    Raises:
        FileExistsError: the file exists and `overwrite` is False.
        ValueError: the name does not end in `.games` or `.games.xz`.
    """
    if not is_games_path(path):
        raise ValueError(f"{path}: a games file ends in {' or '.join(SUFFIXES)}")
    header = {} if provenance is None else {"provenance": provenance.to_dict()}
    data = format_games(games, header).encode()
    if str(path).endswith(".xz"):
        data = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
    with atomic_write(path, overwrite=overwrite) as temporary:
        temporary.write_bytes(data)


def is_games_path(path: str | os.PathLike[str]) -> bool:
    """Return whether a name ends as a games file does."""
    return os.fspath(path).lower().endswith(SUFFIXES)


def build_dataset(
    games: Games,
    provenance: Provenance,
    config: DatasetConfig | None = None,
    *,
    discrete: bool | None = None,
    last_disc_draw: bool = False,
    first_line: int = 1,
) -> TrajectoryDataset:
    """Build the data set of games; `read_games` says what it holds.

    Raises:
        ValueError: a game is illegal or not finished, or `discrete` is False.
    """
    distinct, ids = replay_distinct(games, provenance.where, first_line)
    lengths = np.diff(distinct.offsets)[ids]
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    # A game's rows are those of its first equal: each distinct board is expanded once.
    rows = np.arange(offsets[-1]) + np.repeat(distinct.offsets[ids] - offsets[:-1], lengths)
    check_memory(len(rows) * 2 * CELLS * 4, provenance.where)
    rewards = np.zeros(len(rows), np.float32)
    results = distinct.results
    if last_disc_draw:
        results = np.where((results < 0) & (distinct.plies == CELLS), 0, results)
    rewards[offsets[1:] - 1] = results[ids]
    details: dict[str, Any] = {"horizon": HORIZON, **provenance.details}
    if last_disc_draw:
        details |= {"last_disc_draw": True, "env_kwargs": {"last_disc_draw": True}}
    return TrajectoryDataset.from_offsets(
        observations(distinct.first, distinct.second).take(rows, axis=0),
        distinct.actions[rows],
        rewards,
        offsets,
        np.ones(len(ids), bool),
        provenance=Provenance(provenance.source, provenance.id, provenance.env_id, "", details),
        config=config,
        discrete=discrete,
        num_actions=COLUMNS,
    )


def final_boards(games: Games) -> np.ndarray:
    """Return the observation after each game's last move, `[n, 84]` float32."""
    distinct, ids = replay_distinct(games)
    return np.asarray(observations(distinct.final_first, distinct.final_second)[ids])


def parse_file(path: Path) -> tuple[Games, dict[str, Any], int]:
    """Return the games of a file, its header, and the number of the first game's line.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file. Give the path of a games file.")
    again = "Copy or make it again (lpt-data make connect-four)."
    with parsing(f"{path}: the file is damaged or no games file", again):
        data = read_bounded(path, LARGEST_TEXT)
        if path.suffix.lower() == ".xz":
            data = _decompressed(data)
        text = data.decode("utf-8-sig")
    try:
        return parse_games(text)
    except ValueError as error:
        raise ValueError(f"{path}: {one_line(error)}") from error


def _decompressed(data: bytes) -> bytes:
    """Return the text of an .xz file, of which no more than `LARGEST_TEXT` is made.

    Raises:
        ValueError: there is more.
        lzma.LZMAError, EOFError: the file is damaged.
    """
    parts: list[bytes] = []
    room = LARGEST_TEXT + 1
    while data or not parts:
        decoder = lzma.LZMADecompressor(memlimit=_MOST_MEMORY)
        parts.append(decoder.decompress(data, max_length=room))
        room -= len(parts[-1])
        if room <= 0:
            raise ValueError(
                f"it expands to more than {LARGEST_TEXT} bytes, the most that are read"
            )
        if not decoder.eof:
            raise EOFError("it ends before its end mark")
        data = decoder.unused_data
    return b"".join(parts)


def replay_distinct(
    games: Games, where: str = "games", first_line: int = 1
) -> tuple[Replay, np.ndarray]:
    """Replay each distinct game once; returns them and the number of each game's, `[n]`.

    Args:
        games: to replay.
        where: name of the file or data set for errors.
        first_line: line of the first game in the file.

    Raises:
        ValueError: a game is illegal or not finished; names the line and the move.
    """
    index: dict[str, int] = {}
    ids = np.array([index.setdefault(moves, len(index)) for moves in games.moves], np.int64)
    try:
        return replay(list(index)), ids
    except IllegalGame as error:
        line = first_line + int(np.flatnonzero(ids == error.game)[0])
        raise ValueError(f"{where}: line {line}, move {error.move}: {error.reason}") from error
