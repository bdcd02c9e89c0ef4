"""The running average of a model's weights, which the policy uses."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage(AveragedModel):
    """PyTorch's `AveragedModel` with a memory that grows, folded without a look at the device.

    `update_parameters` reads its count on the device at every update, which waits for it.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        """Begin as a copy of the model; `decay` is that of a full memory."""
        super().__init__(model)
        self.decay = decay
        self.update_parameters(model)

    def next_share(self) -> float:
        """Return the share that the next weights have in the average, 0 to 1."""
        # Early weights are far from useful: the average's memory grows to its full length.
        count = int(self.n_averaged)
        return 1.0 - min(self.decay, (1 + count) / (10 + count))

    @torch.no_grad()
    def fold(self, model: nn.Module, share: float | Tensor) -> None:
        """Take in a model's weights by their share, and its buffers as they are; counts nothing.

        Args:
            model: whose weights they are.
            share: from `next_share`; a scalar tensor where a recorded update reads it anew.
        """
        averaged: list[Tensor] = list(self.module.parameters())
        current: list[Tensor] = list(model.parameters())
        if isinstance(share, Tensor):
            moves = torch._foreach_sub(current, averaged)
            torch._foreach_mul_(moves, share)
            torch._foreach_add_(averaged, moves)
        else:
            torch._foreach_lerp_(averaged, current, share)
        for own, its in zip(self.module.buffers(), model.buffers(), strict=True):
            own.copy_(its)
