"""Means of what updates report, between two points of the log."""

from __future__ import annotations

from typing import Any


class Meter:
    """Means of an interval's scalars, read from the device only when they are shown."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}
        self.count, self.seconds = 0, 0.0

    def add(self, scalars: dict[str, Any]) -> None:
        """Take in what an update has reported; tensors stay where they are."""
        for name, value in scalars.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
        self.count += 1

    def means(self) -> dict[str, float]:
        """Return the means since the last call, and transitions a second."""
        means = {name: float(value) / self.count for name, value in self.sums.items()}
        means["speed/transitions_per_second"] = (
            means.pop("data/transitions") * self.count / max(self.seconds, 1e-9)
        )
        self.sums, self.count, self.seconds = {}, 0, 0.0
        return means
