"""The search: exact values by null-window negamax over bitboards.

One source serves numba and plain Python (numba missing, or `LPT_NO_NUMBA=1`), with the same
answers: a position takes 49 bits, so every value fits a signed 64-bit word, and the few shifts
that leave the word in numba touch bits that are masked off in either.

Positions are (own, mask, ply): the discs of the player to move, all discs, their number. A score
is (43 - n) // 2 for a win with the n-th disc of the game counted from 0, negative for the
opponent's, 0 for a draw. `lpt_envs.connect_four.solver` is the way in; it imports this module on
the first search only, since importing numba takes a second.
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableSequence
from typing import Any, TypeVar

from lpt_envs.connect_four.bitboard import BOTTOM, COLUMNS, FULL, STRIDE

__all__ = ["BACKEND", "leftmost", "new_table", "solve"]

Function = TypeVar("Function", bound=Callable[..., object])
Table = MutableSequence[int]


def _numba_compiler() -> Callable[[Function], Function] | None:
    """Return Numba's compiler, or None where it is absent, unusable or switched off."""
    if os.environ.get("LPT_NO_NUMBA", "") not in ("", "0"):
        return None
    try:
        import numba
    except ImportError:  # also raised by a numba too old for the NumPy at hand
        return None
    njit: Any = numba.njit

    def compile_lazily(function: Function) -> Function:
        compiled: Function
        try:
            compiled = njit(cache=True)(function)
        except RuntimeError:  # no directory to cache in: a read-only installation without a home
            compiled = njit(function)
        return compiled

    return compile_lazily


_compiler = _numba_compiler()
BACKEND = "python" if _compiler is None else "numba"


def _compiled(function: Function) -> Function:
    return function if _compiler is None else _compiler(function)


_SLOTS = 1 << 21
_HASH = 0x1E3779B97F4A7C15
"""An odd number near 2^61 / golden ratio: the product's middle bits index the table."""
_LINES = (STRIDE - 1, STRIDE, STRIDE + 1)
"""Shifts to the neighbor in a falling diagonal, a row and a rising diagonal."""
_CENTER_FIRST = (3, 2, 4, 1, 5, 0, 6)
_COLUMN = (1 << STRIDE) - 1
_ODD_ROWS = BOTTOM * 0b010101  # first, third and fifth row from the bottom
_EVEN_ROWS = BOTTOM * 0b101010
_CELLS = 42


def new_table() -> Table:
    """Return a transposition table (16 MB) for `solve` and `leftmost`; its entries never go stale.

    An entry packs a position's key (49 bits) with a lower and an upper bound of its score (6 bits
    each, plus 32).
    """
    if BACKEND == "python":
        return [0] * _SLOTS  # indexing a list is faster there, and yields Python's integers
    import numpy as np

    return np.zeros(_SLOTS, np.int64)  # type: ignore[return-value]


@_compiled
def _has_four(stones: int) -> bool:
    pairs = stones & (stones >> 1)
    fours = pairs & (pairs >> 2)
    for shift in _LINES:
        pairs = stones & (stones >> shift)
        fours |= pairs & (pairs >> 2 * shift)
    return fours != 0


@_compiled
def _winning_cells(stones: int, mask: int) -> int:
    """Return the empty cells, playable now or later, that complete four of these stones."""
    cells = (stones << 1) & (stones << 2) & (stones << 3)
    for shift in _LINES:
        pairs = (stones << shift) & (stones << 2 * shift)
        cells |= pairs & ((stones << 3 * shift) | (stones >> shift))
        pairs = (stones >> shift) & (stones >> 2 * shift)
        cells |= pairs & ((stones << shift) | (stones >> 3 * shift))
    return cells & (FULL ^ mask)


@_compiled
def _safe_cells(own: int, mask: int) -> int:
    """Return the playable cells that leave the opponent no winning reply; 0: every move loses."""
    cells = (mask + BOTTOM) & FULL
    danger = _winning_cells(own ^ mask, mask)
    forced = cells & danger
    if forced != 0:
        if forced & (forced - 1) != 0:  # two threats, one move
            return 0
        cells = forced
    return cells & ~(danger >> 1)  # never below a cell where the opponent wins


@_compiled
def _static_bound(own: int, mask: int, alpha: int) -> bool:
    """Return whether 0 settles the window (alpha, alpha + 1): that side makes four no more."""
    other = own ^ mask
    if alpha < 0:
        return not _has_four(FULL ^ own)
    if not _has_four(FULL ^ other):
        return True
    # With every column filled evenly the opponent can answer each disc in the same column, which
    # leaves the player to move the odd rows only.
    if (mask + BOTTOM) & FULL & _EVEN_ROWS == 0:
        return not _has_four(own | ((FULL ^ mask) & _ODD_ROWS))
    return False


@_compiled
def _slot(key: int) -> int:
    # bits 24 to 44 of the product are the same whether or not it wraps at 64 bits
    return ((key * _HASH) >> 24) & (_SLOTS - 1)


@_compiled
def _ordered(own: int, mask: int, moves: int, alpha: int, table: Table) -> int:
    """Return the moves' columns (+ 1), one byte each: most winning cells, then nearest the center.

    Returns -1 if the table already shows that a move's score exceeds alpha.
    """
    packed = 0
    for column in _CENTER_FIRST:
        cell = moves & (_COLUMN << column * STRIDE)
        if cell == 0:
            continue
        key = (own ^ mask) + (mask | cell) + BOTTOM
        entry = table[_slot(key)]
        if entry >> 12 == key and 32 - (entry & 63) > alpha:
            return -1
        cells = _winning_cells(own | cell, mask | cell)
        threats = 0
        while cells != 0:
            cells &= cells - 1
            threats += 1
        shift = 0
        while (packed >> shift) & 255 != 0 and ((packed >> shift) & 255) >> 3 >= threats:
            shift += 8
        better = packed & ((1 << shift) - 1)
        packed = better | ((threats << 3 | (column + 1)) << shift) | ((packed ^ better) << 8)
    return packed


@_compiled
def _search(own: int, mask: int, ply: int, alpha: int, table: Table) -> int:
    """Return a bound of the score that says on which side of (alpha, alpha + 1) it lies.

    The player to move must have no winning move.
    """
    moves = _safe_cells(own, mask)
    if moves == 0:
        return -((_CELLS - ply) // 2)
    if ply >= _CELLS - 2:
        return 0
    high = (_CELLS - 1 - ply) // 2
    low = -((_CELLS - 2 - ply) // 2)
    if high <= alpha:
        return high
    if low > alpha:
        return low
    if _static_bound(own, mask, alpha):
        return 0
    key = own + mask + BOTTOM
    slot = _slot(key)
    entry = table[slot]
    if entry >> 12 == key:
        low = max(low, ((entry >> 6) & 63) - 32)
        high = min(high, (entry & 63) - 32)
        if high <= alpha:
            return high
        if low > alpha:
            return low
    order = _ordered(own, mask, moves, alpha, table)
    if order < 0:
        return alpha + 1
    best = -_CELLS
    while order != 0 and best <= alpha:
        cell = moves & (_COLUMN << ((order & 7) - 1) * STRIDE)
        order >>= 8
        best = max(best, -_search(own ^ mask, mask | cell, ply + 1, -alpha - 1, table))
    if best > alpha:
        low = best
    else:
        high = best
    table[slot] = key << 12 | (low + 32) << 6 | (high + 32)
    return best


@_compiled
def solve(own: int, mask: int, ply: int, table: Table) -> int:
    """Return the score of an unfinished position, or 0 of a full board."""
    if (mask + BOTTOM) & FULL & _winning_cells(own, mask) != 0:
        return (_CELLS + 1 - ply) // 2
    low = -((_CELLS - ply) // 2)
    high = (_CELLS - 1 - ply) // 2
    while low < high:
        middle = (low + high) // 2
        # towards the ends first: that far from 0 a window is cheap, and the table fills
        if middle <= 0:
            middle = min(middle, -(-low // 2))
        else:
            middle = max(middle, high // 2)
        score = _search(own, mask, ply, middle, table)
        if score <= middle:
            high = score
        else:
            low = score
    return low


@_compiled
def leftmost(own: int, mask: int, ply: int, table: Table) -> int:
    """Return the leftmost of the best columns of an unfinished position, with few exact scores."""
    cells = (mask + BOTTOM) & FULL
    wins = cells & _winning_cells(own, mask)
    safe = _safe_cells(own, mask)
    candidates = cells
    if wins != 0:
        candidates = wins
    elif safe != 0:
        candidates = safe  # the others lose at once, sooner than any of these
    left = 0
    while candidates & (_COLUMN << left * STRIDE) == 0:
        left += 1
    if wins != 0 or safe == 0 or candidates & (candidates - 1) == 0:
        return left
    score = solve(own, mask, ply, table)
    for column in range(left, COLUMNS - 1):
        cell = candidates & (_COLUMN << column * STRIDE)
        # as good as the best: the opponent's score after it is no more than -score
        if cell != 0 and _search(own ^ mask, mask | cell, ply + 1, -score, table) <= -score:
            return column
    return COLUMNS - 1
