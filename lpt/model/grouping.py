"""Rows of unlike lengths in groups of like ones, so that little of what is computed is padding."""

from __future__ import annotations

import numpy as np

WORTH = 512
"""Steps of padding that a CPU computes in about the time that one more pass costs by itself."""


def like_lengths(lengths: np.ndarray, worth: int = WORTH) -> list[np.ndarray]:
    """Return the places of `lengths` `[B]` in groups, shortest first, each padded to its longest.

    A group is cut in two, where that spares most, as long as it spares `worth` steps.
    """

    def cut(rows: np.ndarray) -> list[np.ndarray]:
        sizes = lengths[rows]
        spared = np.arange(1, len(rows) + 1) * (sizes[-1] - sizes)
        best = int(spared.argmax())
        if spared[best] < worth:
            return [rows]
        return [*cut(rows[: best + 1]), *cut(rows[best + 1 :])]

    return cut(np.argsort(lengths, kind="stable"))


def ungrouped(groups: list[np.ndarray]) -> np.ndarray:
    """Return where each row `[B]` is when groups lie one after the other."""
    return np.argsort(np.concatenate(groups))
