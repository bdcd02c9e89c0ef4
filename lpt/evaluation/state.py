"""What running episodes remember, and plans made in advance for those that begin among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lpt.model import Model
from lpt.model.attention import PlanMemory
from lpt.model.generator import RolloutCache


@dataclass(frozen=True, eq=False)
class PolicyState:
    """What a batch of running episodes remembers. A value: `predict` returns a new one."""

    cache: RolloutCache
    """Plan and recent steps of each row."""
    previous_action: Tensor
    """`[B, act]` what was done in the step before, in [-1, 1], or one-hot if discrete."""

    @property
    def rows(self) -> int:
        """Number of episodes running side by side."""
        return len(self.previous_action)


class SparePlans:
    """Plans made as a batch, of which each new episode takes the next: one at a time is slow."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._left: Tensor | None = None

    def give(self, cache: RolloutCache, rows: Tensor, make: Callable[[int], Tensor]) -> None:
        """Replace the plans of the rows `[B]` that are true.

        Args:
            cache: holds the plans.
            rows: whose episodes begin.
            make: gives `n` plans `[n, N, D]`; asked where too few are left.
        """
        taken, plans = self._take(int(rows.sum()), len(rows), make), []
        memories = self.model.generator.plan_memory(taken)
        for old, fresh in zip(cache.plans, memories, strict=True):
            keys, values = old.keys.clone(), old.values.clone()
            keys[rows], values[rows] = fresh.keys, fresh.values
            plans.append(PlanMemory(keys, values))
        cache.plans = plans

    def _take(self, count: int, batch: int, make: Callable[[int], Tensor]) -> Tensor:
        left = self._left
        if left is None or len(left) < count:
            with torch.inference_mode(False):
                more = make(batch)
            left = more if left is None else torch.cat((left, more))
        taken, self._left = left[:count], left[count:]
        return taken
