"""The newest plans inferred in learning, kept with the weights: draws from where plans are."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class RememberedPlans(nn.Module):
    """A ring of prior noise `z0`; buffers, so that it follows the weights wherever they go."""

    plans: Tensor
    count: Tensor

    def __init__(self, size: int, plan_shape: tuple[int, int]) -> None:
        """Make room for `size` plans of `(N, D)`; 0 keeps none, and has no buffers."""
        super().__init__()
        self.size = size
        if size:
            self.register_buffer("plans", torch.zeros(size, *plan_shape))
            self.register_buffer("count", torch.zeros((), dtype=torch.long))

    def add(self, z0: Tensor) -> None:
        """Keep plans `[B, N, D]` in the place of the oldest."""
        if self.size:
            newest = z0[-self.size :].detach()
            place = self.count + torch.arange(len(newest), device=z0.device)
            self.plans[place % self.size] = newest
            self.count += len(place)

    def draws(self) -> Tensor:
        """Return prior noise `[S, N, D]`: draws from the aggregated posterior.

        That is `q(z0) = mean_i p(z0 | tau_i, y_i)`, trajectories weighted as they are drawn.

        Raises:
            ValueError: if there is none.
        """
        count = min(self.size, int(self.count)) if self.size else 0
        if count == 0:
            raise ValueError(
                "planning.method=aggregated chooses among plans inferred in learning, and this "
                "model has none: train with --model.remembered-plans 1024, or plan by another "
                "method"
            )
        return self.plans[:count]
