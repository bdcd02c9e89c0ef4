"""What one update reads that no other does: batches and the scalars of its place in the run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lpt.data import Batch
from lpt.machine.graphs import mapped


@dataclass(frozen=True, eq=False, kw_only=True)
class Inputs:
    """All that comes from the host in an update; see `lpt.training.trainer.Trainer.update`."""

    moved: Batch
    """The batch whose plans are inferred."""
    seen: Tensor | None
    """What its inference reads besides, `[B, ...]` (`lpt.algorithms.algorithm.Inference.look`)."""
    own: Batch | None
    """The batch that parameters learn from, if it is another one."""
    prior_weight: float | Tensor
    """Of the prior in the posterior, a scalar."""
    share: float | Tensor
    """Of these weights in their average, a scalar."""

    def to(self, device: torch.device) -> Inputs:
        """Return the same with every tensor on `device`."""
        return mapped(self, lambda x: x.to(device) if isinstance(x, Tensor) else x)
