"""How every command ends: its exit code, and one line about an error or about a signal.

0: done; 2: a user's error or a disk's; 130: Ctrl-C; 143: SIGTERM, which ends a command as Ctrl-C
does. Commands that have more codes say so.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

_Handler = Callable[[int, FrameType | None], Any]
_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
_UNTOUCHED = (signal.default_int_handler, signal.SIG_DFL)  # a shell may have them ignored


class Stopped(KeyboardInterrupt):
    """A signal asks the command to end; passes whatever catches errors, as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


def end_at_once() -> None:
    """Have signals end this process with one line: nothing is begun yet, or all is done.

    Importing takes seconds, and an exception may strike libraries where they do not expect one.
    """
    for number in _NAMES:
        if signal.getsignal(number) in _UNTOUCHED:
            signal.signal(number, _end)


def ending(name: str, work: Callable[[], object], stopped: Callable[[], str] | None = None) -> int:
    """Do a command's work, and return its exit code.

    Args:
        name: the command's.
        work: what it does; an integer that it returns is the exit code.
        stopped: what to say after a signal besides that.
    """
    try:
        with _exchanged(_end, _unwind):
            code = work()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
        more = "nothing half-written is left" if stopped is None else stopped()
        print(f"{name}: stopped by {_NAMES[signal.Signals(number)]}; {more}", file=sys.stderr)
        return 128 + number
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2


@contextmanager
def at_once() -> Iterator[None]:
    """Have signals end the process while the block imports, see `end_at_once`."""
    with _exchanged(_unwind, _end):
        yield


@contextmanager
def _exchanged(old: _Handler, new: _Handler) -> Iterator[None]:
    """Within the block, have signals that one handler would answer answered by another."""
    numbers = [number for number in _NAMES if signal.getsignal(number) is old]
    for number in numbers:
        signal.signal(number, new)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, old)


def _unwind(number: int, frame: FrameType | None) -> None:
    """Leave what is under way in order; who asks again does not want to wait for it."""
    for other in _NAMES:
        if signal.getsignal(other) is _unwind:
            signal.signal(other, _end)
    raise Stopped(number)


def _end(number: int, frame: FrameType | None) -> None:
    name = "lpt-" + Path(sys.argv[0]).stem.removeprefix("lpt-").removeprefix("-m")
    by = _NAMES[signal.Signals(number)]
    os.write(2, f"{name.rstrip('-')}: stopped by {by}\n".encode())
    os._exit(128 + number)
