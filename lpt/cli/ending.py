"""How every command ends: its exit code, and one line about an error or about Ctrl-C.

0: done; 2: a user's error or a disk's; 130: Ctrl-C. Commands that have more codes say so.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

INTERRUPTED = 128 + signal.SIGINT
"""Exit code after Ctrl-C."""


def end_at_once() -> None:
    """Have Ctrl-C end this process with one line: nothing is begun yet, or all is done.

    Importing takes seconds, and an exception may strike libraries where they do not expect one.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a shell may have it ignored
        signal.signal(signal.SIGINT, _end)


def ending(name: str, work: Callable[[], object], stopped: Callable[[], str] | None = None) -> int:
    """Do a command's work, and return its exit code.

    Args:
        name: the command's.
        work: what it does; an integer that it returns is the exit code.
        stopped: what to say after Ctrl-C besides that.
    """
    alone = signal.getsignal(signal.SIGINT) is _end
    if alone:
        signal.signal(signal.SIGINT, _unwind)
    try:
        code = work()
        return code if isinstance(code, int) else 0
    except KeyboardInterrupt:
        more = "nothing half-written is left" if stopped is None else stopped()
        print(f"{name}: stopped by Ctrl-C; {more}", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 2
    finally:
        if alone:
            signal.signal(signal.SIGINT, _end)


@contextmanager
def at_once() -> Iterator[None]:
    """Have Ctrl-C end the process while the block imports, see `end_at_once`."""
    before = signal.getsignal(signal.SIGINT)
    if before is _unwind:
        signal.signal(signal.SIGINT, _end)
    try:
        yield
    finally:
        if before is _unwind:
            signal.signal(signal.SIGINT, _unwind)


def _unwind(number: int, frame: FrameType | None) -> None:
    """Leave what is under way in order; who presses Ctrl-C again does not want to wait for it."""
    signal.signal(number, _end)
    raise KeyboardInterrupt


def _end(number: int, frame: FrameType | None) -> None:
    name = "lpt-" + Path(sys.argv[0]).stem.removeprefix("lpt-").removeprefix("-m")
    os.write(2, f"{name.rstrip('-')}: stopped by Ctrl-C\n".encode())
    os._exit(INTERRUPTED)
