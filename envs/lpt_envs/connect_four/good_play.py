"""The positions of good play, with their leftmost best columns from a packaged table.

The agent moves first and plays its leftmost best column at every move but at most one, where it
plays anything; the opponent is ESPER's, blunders included. These are the positions that a good
policy, and every game of the eps-greedy players with one slip, goes through; knowing them saves the
search its slowest part. As in `lpt_envs.connect_four.opening` only the columns are stored
(`good_play.bin`), in the order in which the walk meets the positions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np

from lpt_envs.connect_four.board import COLUMNS, ROWS
from lpt_envs.connect_four.opening import (
    Columns,
    Positions,
    after,
    joined,
    played,
    replied,
    start,
    stored_columns,
    unfinished,
    unique,
)

__all__ = ["good_play_columns", "good_play_positions"]

_POSITIONS = 3_400


@lru_cache(maxsize=1)
def good_play_columns() -> dict[int, int]:
    """Return leftmost best columns by key (own + mask), of `good_play_positions`."""
    return stored_columns("good_play.bin", _POSITIONS, good_play_positions)


def good_play_positions(
    best: Callable[[Positions], Columns],
) -> Iterator[tuple[Positions, Columns]]:
    """Walk the positions of good play, ply by ply.

    Args:
        best: The leftmost best columns of positions.

    Yields:
        For each ply the positions that can come up, and their columns int8 [n].
    """
    clean = start()
    slipped = Positions(clean.own[:0], clean.mask[:0])
    for ply in range(ROWS * COLUMNS):
        positions = unique(*joined([(p.own, p.mask) for p in (clean, slipped)]))
        if not len(positions):
            return
        columns = best(positions)
        yield positions, columns
        of_clean, of_slipped = (
            columns[np.searchsorted(positions.keys, part.keys)] for part in (clean, slipped)
        )
        if ply % 2:
            clean, slipped = replied(clean, of_clean), replied(slipped, of_slipped)
        else:
            anything = [after(clean, column) for column in range(COLUMNS)]
            clean = _after_best(clean, of_clean)
            held = _after_best(slipped, of_slipped)
            slipped = unique(*joined([*anything, (held.own, held.mask)]))


def _after_best(positions: Positions, columns: Columns) -> Positions:
    boards = played(positions.own, positions.mask, columns.astype(np.int64))
    return unique(*unfinished(*boards))
