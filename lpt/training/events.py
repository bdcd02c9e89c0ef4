"""TensorBoard's file of a run, without which training goes on if it cannot be written."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter

from lpt.machine.disk import DiskError, writing


class EventLog:
    """Scalars and texts by update; the first failure is told, and nothing is written from then."""

    def __init__(self, folder: Path, updates: int) -> None:
        """Open a new file in a run's folder; what earlier ones say after `updates` is void."""
        self.folder = folder
        self._writer: SummaryWriter | None = None
        self._others = threading.excepthook
        threading.excepthook = self._on_thread_error
        with self._telling():
            self._writer = SummaryWriter(str(folder), purge_step=updates or None)

    def text(self, name: str, text: str) -> None:
        """Add a text."""
        with self._telling():
            if self._writer is not None:
                self._writer.add_text(name, text)

    def scalars(self, values: Mapping[str, float], update: int) -> None:
        """Add scalars of an update."""
        with self._telling():
            for name, value in values.items():
                if self._writer is not None:
                    self._writer.add_scalar(name, value, update)

    def close(self) -> None:
        """Write what is left, and close the file."""
        with self._telling():
            if self._writer is not None:
                self._writer.close()
        threading.excepthook = self._others

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            with writing(self.folder / "events.out.tfevents"):
                yield
        except DiskError as error:
            self._writer = None
            print(f"TensorBoard's log ends here, training goes on: {error}", file=sys.stderr)

    def _on_thread_error(self, args: threading.ExceptHookArgs) -> None:
        # TensorBoard's own thread: its error comes again with the next thing that is added.
        if not type(args.thread).__module__.startswith("tensorboard."):
            self._others(args)
