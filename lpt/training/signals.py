"""Signals that ask a run to stop: remembered until the update under way is done, and saved."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(Exception):
    """The run was asked to stop; its state is saved."""

    def __init__(self, number: int, checkpoint: Path) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}; saved {checkpoint}")
        self.number, self.folder = number, checkpoint.parent.parent


class StopRequest:
    """Whether, and by which signal, this process has been asked to stop."""

    def __init__(self) -> None:
        self.number: int | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """SIGTERM and SIGINT are remembered for the end of the update under way."""
        previous = [(s, signal.signal(s, self._note)) for s in (signal.SIGTERM, signal.SIGINT)]
        try:
            yield
        finally:
            for number, handler in previous:
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.number = number
