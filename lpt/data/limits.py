"""How large data may be, decided by what a file declares before anything of it is read.

Two rules. What a file expands to must stand in proportion to its own size: deflate, the strongest
compression of the formats here, makes at most 1032 bytes of one, so honest files never come near.
And what is read into memory must fit there.
"""

from __future__ import annotations

import os

from lpt.machine.untrusted import Refused

GROWTH = 1100
"""Bytes that a stored byte may expand to."""
SLACK = 64 << 20
"""Bytes that any file may expand to."""
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
