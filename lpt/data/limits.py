"""How large data may be, decided by what a file declares before anything of it is read.

Three rules. What a file expands to must stand in proportion to its own size: deflate, the strongest
compression of the formats here, makes at most 1032 bytes of one, so honest files never come near.
So must the number of pieces that it is stored in, which are looked up one by one: an index takes 8
bytes for each. And what is read into memory must fit there.
"""

from __future__ import annotations

import os

from lpt.machine.untrusted import Refused

GROWTH = 1100
"""Bytes that a stored byte may expand to."""
SLACK = 64 << 20
"""Bytes that any file may expand to."""
ENTRY = 8
"""Bytes that a file's index takes for a piece, at least."""
SLACK_PIECES = 1 << 16
"""Pieces that any file may have, looked up in half a second."""
LIMIT = "LPT_MAX_BYTES"
"""Environment variable: bytes of arrays that may be read into memory; unset: the machine's own."""
_FALLBACK = 16 << 30


def check_expansion(declared: int, stored: int, where: str) -> None:
    """Raise ValueError if a file of `stored` bytes declares arrays that it cannot honestly hold."""
    if declared > SLACK + GROWTH * stored:
        raise Refused(
            f"{where}: declares {_size(declared)} of arrays in {_size(stored)}: more than such a "
            f"file can hold (at most {GROWTH} times its size). Copy or generate it again."
        )


def check_pieces(declared: int, stored: int, where: str) -> None:
    """Raise ValueError if a file of `stored` bytes declares more pieces than it has an index of."""
    if declared > SLACK_PIECES + stored // ENTRY:
        raise Refused(
            f"{where}: declares {declared} chunks in {_size(stored)}: more than such a file can "
            "hold. Generate it again, in larger chunks."
        )


def check_memory(declared: int, where: str) -> None:
    """Raise ValueError if arrays of `declared` bytes are more than may be read into memory."""
    most = memory_limit()
    if declared > most:
        raise Refused(
            f"{where}: declares {_size(declared)} of arrays, more than the {_size(most)} that are "
            f"read into memory. Convert it to a folder (lpt-data convert), or set {LIMIT} to more."
        )


def memory_limit() -> int:
    """Return the bytes of arrays that may be read into memory.

    Raises:
        ValueError: `LPT_MAX_BYTES` is no number.
    """
    text = os.environ.get(LIMIT, "")
    if text:
        if not text.isascii() or not text.isdigit() or len(text) > 18:
            raise ValueError(f"{LIMIT}={text!r}: expected a number of bytes, such as 16000000000")
        return int(text)
    if not hasattr(os, "sysconf"):
        return _FALLBACK
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _size(count: int) -> str:
    for unit, bytes_ in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= bytes_:
            return f"{count / bytes_:.3g} {unit}"
    return f"{count} bytes"
