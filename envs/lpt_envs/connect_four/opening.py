"""The opening from packaged tables: exact scores to ply 9, the protocol's replies to ply 11.

Neither table stores positions: both list values in an order of positions that is computed again on
loading (within a second). `scripts/connect_four_tables.py` rebuilds and verifies them.

- `scores.bin`: the score of every unfinished position with nine discs, one of each mirror pair.
  Earlier scores follow by minimax.
- `replies.bin`: the leftmost best column of the 65,782 positions in which the ESPER opponent can be
  to move at plies 1, 3 .. 11, the agent playing anything.
"""

from __future__ import annotations

import hashlib
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from lpt_envs.connect_four.bitboard import COLUMNS, FULL, STRIDE, mirrored
from lpt_envs.connect_four.board import Board

__all__ = [
    "REPLY_PLY",
    "SCORE_PLY",
    "Columns",
    "Positions",
    "after",
    "joined",
    "opening_replies",
    "opening_score",
    "pack",
    "played",
    "read_table",
    "replied",
    "reply_positions",
    "score_positions",
    "start",
    "stored_columns",
    "unfinished",
    "unique",
    "unpack",
]

SCORE_PLY = 9
"""Positions with up to this many discs have their scores in the table."""
REPLY_PLY = 11
"""The last ply of the table of replies."""

_REPLIES = 65_782
_MAGIC = b"LPT connect four\x01"
_HEADER = len(_MAGIC) + hashlib.sha256().digest_size

Words = NDArray[np.int64]
Columns = NDArray[np.int8]


@dataclass(frozen=True, eq=False)
class Positions:
    """Different positions of one ply in ascending order of their keys."""

    own: Words
    """The discs of the player to move, int64 [n]."""
    mask: Words
    """All discs, int64 [n]."""

    @property
    def keys(self) -> Words:
        """Numbers as unique as the pair, own + mask, int64 [n]."""
        return self.own + self.mask

    def __len__(self) -> int:
        """Return the number of positions."""
        return len(self.own)


def pack(values: Columns) -> bytes:
    """Return a table's file: magic bytes, the SHA-256 of the values, the values (int8) in LZMA."""
    raw = np.ascontiguousarray(values, np.int8).tobytes()
    body = lzma.compress(raw, preset=9 | lzma.PRESET_EXTREME)
    return _MAGIC + hashlib.sha256(raw).digest() + body


def unpack(data: bytes, count: int, name: str) -> Columns:
    """Return the inverse of `pack`.

    Raises:
        ValueError: The file is damaged or does not hold `count` values.
    """
    mend = "install lpt-toolkit again, or rebuild it with scripts/connect_four_tables.py"
    if not data.startswith(_MAGIC):
        raise ValueError(f"{name} is not a table of Connect Four positions: {mend}")
    try:
        raw = lzma.decompress(data[_HEADER:])
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"{name} is damaged ({error}): {mend}") from error
    if hashlib.sha256(raw).digest() != data[len(_MAGIC) : _HEADER]:
        raise ValueError(f"{name} is damaged (its checksum does not match): {mend}")
    if len(raw) != count:
        raise ValueError(f"{name} holds {len(raw)} values, expected {count}: {mend}")
    return np.frombuffer(raw, np.int8)


def opening_score(own: int, mask: int) -> int | None:
    """Return the exact score of an unfinished position, None beyond `SCORE_PLY` discs.

    Raises:
        ValueError: No game leads to this position.
    """
    ply = mask.bit_count()
    if ply > SCORE_PLY:
        return None
    keys, scores = _scores()[ply]
    key = min(own + mask, mirrored(own) + mirrored(mask))
    place = int(np.searchsorted(keys, key))
    if place == len(keys) or keys[place] != key:
        raise ValueError(
            f"an impossible board (own {own:#x}, mask {mask:#x}): no game of {ply} moves leads to "
            "it; build boards with Board.from_moves or Board.from_grid, which check them"
        )
    return int(scores[place])


@lru_cache(maxsize=1)
def opening_replies() -> dict[int, int]:
    """Return leftmost best columns by key (own + mask), of `reply_positions`."""
    return stored_columns("replies.bin", _REPLIES, reply_positions)


def stored_columns(
    name: str,
    count: int,
    walk: Callable[[Callable[[Positions], Columns]], Iterator[tuple[Positions, Columns]]],
) -> dict[int, int]:
    """Return columns by key (own + mask), stored in the order in which a walk meets positions.

    Args:
        name: The table's file.
        count: How many positions it holds.
        walk: Meets the positions, given their columns.

    Raises:
        ValueError: The file is damaged or does not hold `count` values.
    """
    values = unpack(read_table(name), count, name)
    begin = 0

    def stored(positions: Positions) -> Columns:
        nonlocal begin
        begin += len(positions)
        return values[begin - len(positions) : begin]

    columns: dict[int, int] = {}
    for positions, best in walk(stored):
        columns.update(zip(positions.keys.tolist(), best.tolist(), strict=True))
    return columns


def reply_positions(
    best: Callable[[Positions], Columns], last: int = REPLY_PLY
) -> Iterator[tuple[Positions, Columns]]:
    """Walk the positions in which the ESPER opponent, second to move, can find itself.

    The agent plays anything. The opponent plays its leftmost best column; where that is column 6
    it may blunder, that is, ask for any of the columns 0 to 5 (a full one means the leftmost open
    one).

    Args:
        best: The leftmost best columns of positions.
        last: The last ply.

    Yields:
        For each of the plies 1, 3 .. `last`, the positions and their columns int8 [n].
    """
    positions = start()
    for ply in range(1, last + 1, 2):
        children = [after(positions, column) for column in range(COLUMNS)]
        positions = unique(*joined(children))
        columns = best(positions)
        yield positions, columns
        if ply < last:
            positions = replied(positions, columns)


def score_positions(last: int = SCORE_PLY) -> Iterator[Positions]:
    """Yield all unfinished positions of plies 0 to `last`, one of each mirror pair, by key."""
    positions = start()
    yield positions
    for _ in range(last):
        children = [after(positions, column) for column in range(COLUMNS)]
        positions = unique(*_canonical(*joined(children)))
        yield positions


@lru_cache(maxsize=1)
def _scores() -> list[tuple[Words, Columns]]:
    """Return keys and scores for each ply from 0 to `SCORE_PLY`."""
    levels = list(score_positions())
    scores = unpack(read_table("scores.bin"), len(levels[-1]), "scores.bin")
    table = [(levels[-1].keys, scores)]
    for ply in reversed(range(SCORE_PLY)):
        table.insert(0, (levels[ply].keys, _minimax(levels[ply], ply, *table[0])))
    return table


def _minimax(positions: Positions, ply: int, keys: Words, scores: Columns) -> Columns:
    """Return the scores of a ply from those of the next."""
    best = np.full(len(positions), -COLUMNS * STRIDE, np.int8)
    for column in range(COLUMNS):
        own, mask = played(positions.own, positions.mask, column)
        legal = _open(positions.mask, column)
        won = _has_four(own ^ mask)
        child = np.searchsorted(keys, np.add(*_canonical(own, mask)))
        value = -scores[np.minimum(child, len(scores) - 1)]
        value = np.where(won, np.int8((43 - ply) // 2), value)
        best = np.where(legal, np.maximum(best, value), best)
    return best


def read_table(name: str) -> bytes:
    """Return the bytes of a packaged table."""
    return resources.files(__package__).joinpath("data", name).read_bytes()


def start() -> Positions:
    """Return the empty board."""
    empty = Board()
    return Positions(np.array([empty.own], np.int64), np.array([empty.mask], np.int64))


def played(own: Words, mask: Words, column: int | Words) -> tuple[Words, Words]:
    """Return the boards after a disc in a column (of which there may be one for each board)."""
    return own ^ mask, mask | (mask + (np.int64(1) << np.int64(STRIDE) * column))


def _open(mask: Words, column: int) -> NDArray[np.bool_]:
    return np.asarray(mask >> (column * STRIDE + STRIDE - 2) & 1 == 0)


def after(positions: Positions, column: int) -> tuple[Words, Words]:
    """Return the unfinished boards after a disc in a column, where it is open."""
    legal = _open(positions.mask, column)
    return unfinished(*played(positions.own[legal], positions.mask[legal], column))


def replied(positions: Positions, columns: Columns) -> Positions:
    """Return the unfinished positions after the opponent's replies, blunders included."""
    replies = [unfinished(*played(positions.own, positions.mask, columns.astype(np.int64)))]
    tempted = columns == COLUMNS - 1
    own, mask = positions.own[tempted], positions.mask[tempted]
    is_open = np.stack([_open(mask, column) for column in range(COLUMNS)])
    for column in range(COLUMNS - 1):
        resolved = np.where(is_open[column], column, is_open.argmax(axis=0))
        replies.append(unfinished(*played(own, mask, resolved)))
    return unique(*joined(replies))


def unfinished(own: Words, mask: Words) -> tuple[Words, Words]:
    """Return the boards on which the game goes on."""
    keep = ~_has_four(own ^ mask) & (mask != FULL)
    return own[keep], mask[keep]


def joined(parts: list[tuple[Words, Words]]) -> tuple[Words, Words]:
    """Return several lists of boards as one."""
    return np.concatenate([own for own, _ in parts]), np.concatenate([mask for _, mask in parts])


def unique(own: Words, mask: Words) -> Positions:
    """Return each different board once, by key."""
    _, first = np.unique(own + mask, return_index=True)
    return Positions(own[first], mask[first])


def _canonical(own: Words, mask: Words) -> tuple[Words, Words]:
    """Return of each board and its mirror image the one with the lower key."""
    own_mirror, mask_mirror = _mirrored(own), _mirrored(mask)
    swap = own_mirror + mask_mirror < own + mask
    return np.where(swap, own_mirror, own), np.where(swap, mask_mirror, mask)


def _mirrored(stones: Words) -> Words:
    column = (1 << STRIDE) - 1
    parts = [(stones >> i * STRIDE & column) << (COLUMNS - 1 - i) * STRIDE for i in range(COLUMNS)]
    return np.asarray(np.bitwise_or.reduce(parts))


def _has_four(stones: Words) -> NDArray[np.bool_]:
    fours = np.zeros_like(stones)
    for shift in (1, STRIDE - 1, STRIDE, STRIDE + 1):
        pairs = stones & (stones >> shift)
        fours |= pairs & (pairs >> 2 * shift)
    return np.asarray(fours != 0)
