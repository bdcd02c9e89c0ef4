"""Seven columns by six rows in one integer: the geometry, lines of four, impossible boards.

A column takes seven bits, its six cells from the bottom and an always empty sentinel, so that
shifts never carry a line of four from one column into the next:

      5 12 19 26 33 40 47
      .  .  .  .  .  .  .
      1  8 15 22 29 36 43
      0  7 14 21 28 35 42      bit = column * 7 + height
"""

from __future__ import annotations

from collections.abc import Iterator

COLUMNS = 7
ROWS = 6
STRIDE = ROWS + 1
"""Bits a column takes."""
CELLS = COLUMNS * ROWS
BOTTOM = sum(1 << column * STRIDE for column in range(COLUMNS))
"""The lowest cell of each column."""
TOP = BOTTOM << (ROWS - 1)
"""The highest cell of each column."""
FULL = BOTTOM * ((1 << ROWS) - 1)
"""All 42 cells."""


def has_four(stones: int) -> bool:
    """Return whether a bitboard holds four in a line."""
    pairs = stones & (stones >> STRIDE)
    if pairs & (pairs >> 2 * STRIDE):
        return True
    pairs = stones & (stones >> 1)
    if pairs & (pairs >> 2):
        return True
    pairs = stones & (stones >> STRIDE - 1)
    if pairs & (pairs >> 2 * (STRIDE - 1)):
        return True
    pairs = stones & (stones >> STRIDE + 1)
    return bool(pairs & (pairs >> 2 * (STRIDE + 1)))


def mirrored(stones: int) -> int:
    """Return a bitboard reflected left to right."""
    column = (1 << STRIDE) - 1
    return sum(
        (stones >> i * STRIDE & column) << (COLUMNS - 1 - i) * STRIDE for i in range(COLUMNS)
    )


def check(own: int, mask: int) -> None:
    """Refuse impossible bitboards (cheaply: reachability is `reachable`'s)."""
    if mask < 0 or own < 0 or mask & ~FULL or own & ~mask:
        raise ValueError("impossible board: own must be a part of mask, and mask of the 42 cells")
    if mask & ~((mask << 1) | BOTTOM):
        raise ValueError("impossible board: a disc floats above an empty cell")
    mine, others = own.bit_count(), (own ^ mask).bit_count()
    if others - mine not in (0, 1):
        first, second = (mine, others) if mask.bit_count() % 2 == 0 else (others, mine)
        raise ValueError(
            f"impossible board: {first} discs of the first player and {second} of the second; the "
            "first has as many as the second or one more"
        )
    if has_four(own):
        both = "both players have" if has_four(own ^ mask) else "the player to move has"
        raise ValueError(f"impossible board: {both} four in a line, so the game went on when over")
    if has_four(own ^ mask) and not any(_last_moves(own ^ mask, mask)):
        raise ValueError("impossible board: discs were played after the game was won")


def _last_moves(winner: int, mask: int) -> Iterator[bool]:
    """Yield, for each topmost disc of the winner, whether it was the one that made four."""
    for column in range(COLUMNS):
        cell = _top_disc(mask, column)
        if cell & winner:
            yield not has_four(winner ^ cell)


def _top_disc(mask: int, column: int) -> int:
    """Return the bit of a column's topmost disc, 0 if it is empty."""
    filled = mask & ((1 << ROWS) - 1) << column * STRIDE
    return 1 << filled.bit_length() - 1 if filled else 0


def reachable(first: int, second: int) -> bool:
    """Return whether taking the discs off in turn, none after a win, can empty the board.

    A part of a board without four holds none either, so a win can matter to the last disc only.
    """
    seen = set()
    stack = [(first, second)]
    while stack:
        first, second = stack.pop()
        mask = first | second
        if not mask:
            return True
        mover = first if mask.bit_count() % 2 else second
        for column in range(COLUMNS):
            cell = _top_disc(mask, column)
            if cell & mover and (mask ^ cell) not in seen and not has_four(mover ^ cell):
                seen.add(mask ^ cell)
                stack.append((first & ~cell, second & ~cell))
    return False
