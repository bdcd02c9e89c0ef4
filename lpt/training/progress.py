"""What a run tells on the way: its bar, its board, and one word on chains that are not healthy."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from lpt.config import Config
from lpt.inference.health import complaints
from lpt.training.board import Board
from lpt.training.meter import Meter

TIMED_UPDATES = 50
"""Updates by which the time of a run is estimated."""


class Progress:
    """The means of what updates report since the last log, and where they are shown."""

    def __init__(
        self, config: Config, updates: int, board: Board | None, log: Callable[[str], None]
    ) -> None:
        """Begin after so many updates; without a board (another process has it) all is silent."""
        self.config, self.board, self.log = config, board, log
        self.meter, self._warned = Meter(), set[str]()
        self._timed = min(updates + TIMED_UPDATES, config.updates - 1)
        self.bar: Any = tqdm(
            total=config.updates, initial=updates, desc=config.task, disable=board is None
        )

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Count what is done in the block as time spent on an update."""
        began = time.monotonic()
        yield
        self.meter.seconds += time.monotonic() - began

    def update(self, scalars: dict[str, Any]) -> None:
        """Take in what an update reports."""
        self.meter.add(scalars)
        self.bar.update()

    def tell_time(self, updates: int) -> None:
        """Say, once, how long the rest will take, by the updates made so far."""
        if updates != self._timed or self.board is None:
            return
        left = self.config.updates - updates
        seconds = left * self.meter.seconds / self.meter.count
        shown = f"{seconds / 60:.0f} min" if seconds > 100 else f"{seconds:.0f} s"
        self.bar.write(f"about {shown} for the other {left} updates, and evaluations besides")

    def show(self, updates: int, diagnosis: dict[str, float], last_return: float | None) -> None:
        """Show the means, a diagnosis of the plans, and the last evaluation's return."""
        scalars = {**self.meter.means(), **diagnosis}
        if self.board is None:
            return
        self._warn(scalars, updates)
        self.board.scalars(scalars, updates)
        shown = {
            "action": f"{scalars['loss/actions']:.3f}",
            "return": f"{scalars['loss/return']:.2f}",
            "info": f"{scalars['plan/information']:.2f}",
        }
        if last_return is not None:
            shown["eval"] = f"{last_return:.1f}"
        self.bar.set_postfix(shown)

    def close(self) -> None:
        """End bar and board."""
        self.bar.close()
        if self.board is not None:
            self.board.close()

    def _warn(self, scalars: dict[str, float], updates: int) -> None:
        """Say once what is wrong with the chains; early on they are young whatever one does."""
        share = updates / self.config.updates
        for kind, text in complaints(scalars, finished=share == 1).items():
            if share >= 0.5 and kind not in self._warned:
                self._warned.add(kind)
                self.log(f"warning: at update {updates}, {text}")
