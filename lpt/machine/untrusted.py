"""Reading what somebody else wrote: regular files of bounded size, one line for every failure."""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lpt.machine.disk import DiskError

LARGEST_RECORD = 4 << 20
"""Bytes of the largest JSON record that is read; those written here have some thousand."""
DEEPEST = 64
"""Levels of lists and objects in a JSON value; those written here have six."""
_LONGEST = 300
_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Refused(ValueError):
    """Something is wrong with what was given; the message is finished: what, why and the mend."""


@contextmanager
def parsing(what: str, mend: str) -> Iterator[None]:
    """Turn whatever a parser raises on malformed bytes into one line, `WHAT (REASON). MEND`.

    Parsers of other libraries raise nearly anything on bytes that were made to confuse them, from
    AttributeError to RecursionError. Only a library's reading belongs into such a block.

    Raises:
        Refused: anything was raised; a `Refused` passes as it is.
        OSError: the disk that is read into has no room; the file is not to blame.
    """
    try:
        yield
    except (Refused, DiskError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _ROOM:
            raise
        raise Refused(f"{what} ({one_line(error)}). {mend}") from error


def one_line(error: BaseException) -> str:
    """Return what an error says in one printable line of bounded length."""
    text = str(error)
    if not isinstance(error, ValueError | OSError | RuntimeError) or not text:
        text = f"{type(error).__name__}: {text}".rstrip(": ")
    return short(text)


def short(text: str, most: int = _LONGEST) -> str:
    """Return a text in one printable line of at most `most` characters."""
    text = "".join(c if c.isprintable() else "?" for c in " ".join(text[: 4 * most].split()))
    return text if len(text) <= most else f"{text[: most - 3]}..."


def check_regular(path: Path, folder: Path | None = None) -> int:
    """Return a file's size in bytes, if it is one: a pipe would wait for ever.

    Args:
        path: the file.
        folder: where it has to lie itself; links are refused then, wherever they lead.

    Raises:
        FileNotFoundError: there is no such file.
        Refused: it is something else.
    """
    try:
        info = os.lstat(path) if folder is not None else os.stat(path)
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{path}: no such file ({one_line(error)})") from error
    if stat.S_ISLNK(info.st_mode):
        raise Refused(
            f"{path}: a link, where {folder} should hold the file itself. Put the file there."
        )
    if not stat.S_ISREG(info.st_mode):
        raise Refused(f"{path}: no regular file. Put the file there, not a pipe or device.")
    return info.st_size


def read_bounded(path: Path, most: int, folder: Path | None = None) -> bytes:
    """Return the bytes of a file that has at most `most`; raises as `check_regular`, and OSError.

    Raises:
        Refused: it is larger, or no regular file.
    """
    if check_regular(path, folder) > most:
        raise Refused(f"{path}: larger than {most} bytes, the most that such a file may have")
    with open(path, "rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise Refused(f"{path}: larger than {most} bytes, the most that such a file may have")
    return data


def parse_json(text: str | bytes) -> Any:
    """Return a JSON value.

    Raises:
        ValueError: it is no JSON, too large, or nested too deeply.
    """
    if len(text) > LARGEST_RECORD:
        raise ValueError(
            f"longer than {LARGEST_RECORD} bytes, the most that such a record may have"
        )
    if isinstance(text, str):
        # Arrays of texts can hold code points that there are not, at which parsers panic.
        text.encode("utf-8").decode("utf-8")
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise ValueError(f"nested more than {DEEPEST} deep") from error
    _check_depth(value)
    return value


def _check_depth(value: Any) -> None:
    """Raise ValueError for values that copying or writing them would stumble over."""
    level, depth = [value], 0
    while level:
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        groups = [group for group in level if isinstance(group, dict | list)]
        inner = (group.values() if isinstance(group, dict) else group for group in groups)
        level, depth = [item for items in inner for item in items], depth + 1


def parse_object(text: str | bytes) -> dict[str, Any]:
    """Return a JSON object; raises as `parse_json`, and ValueError for any other value."""
    record = parse_json(text)
    if not isinstance(record, dict):
        raise ValueError(f"expected an object, found {type(record).__name__}")
    return record
