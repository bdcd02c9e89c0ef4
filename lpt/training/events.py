"""TensorBoard's file of a run, without which all else goes on if it cannot be written."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from lpt.machine.disk import DiskError, writing


class EventLog:
    """Scalars, texts, images and settings; the first failure is told, and then nothing written."""

    def __init__(self, folder: Path, void_from: int | None = None) -> None:
        """Open a new file in a run's folder; what earlier ones have from an update on is void."""
        self.folder = folder
        self._writer: SummaryWriter | None = None
        self._others = threading.excepthook
        threading.excepthook = self._on_thread_error
        with self._telling():
            self._writer = SummaryWriter(str(folder), purge_step=void_from)

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

    def image(self, name: str, pixels: np.ndarray, update: int) -> None:
        """Add a picture `[height, width, 3]` of an update."""
        with self._telling():
            if self._writer is not None:
                self._writer.add_image(name, pixels, update, dataformats="HWC")

    def settings(self, values: dict[str, Any], metrics: dict[str, float]) -> None:
        """Add a row to the table of runs: settings, and scalars that are added besides."""
        with self._telling():
            files: Any = None if self._writer is None else self._writer.file_writer
            for summary in hparams(values, metrics):
                if files is not None:
                    files.add_summary(summary)

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
