"""Whole trajectories scored in groups of like lengths, so that little of it is padding."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lpt.data import Batch
from lpt.model.grouping import WORTH, like_lengths, ungrouped

_STEPS = ("observations", "previous_actions", "actions", "weight")
"""What of a batch `in_groups` cuts; a score sees no more of it."""


def in_groups(
    score: Callable[[Tensor, Batch], Tensor], z: Tensor, batch: Batch, worth: int = WORTH
) -> Tensor:
    """Return `score` of plans and trajectories, computed a group at a time.

    Args:
        score: gives `[B]` of plans `[B, N, D]` and a batch, each row on its own and none by what is
            after its last scored step.
        z: `[B, N, D]` plans.
        batch: `[B, M, L, ...]`, on the CPU.
        worth: see `WORTH`.

    Returns:
        `[B]`, the same to rounding as that of the whole batch at once.
    """
    if batch.weight.numel() < worth:
        return score(z, batch)
    reached = torch.arange(1, batch.weight.shape[2] + 1) * (batch.weight > 0)
    lengths = reached.flatten(1).amax(1).clamp(min=1).numpy()
    groups = like_lengths(lengths, worth)
    if len(groups) == 1:
        return score(z, batch)
    found = []
    for group in groups:
        rows, longest = torch.from_numpy(group), int(lengths[group[-1]])
        steps = {name: getattr(batch, name)[rows, :, :longest] for name in _STEPS}
        found.append(score(z[rows], replace(batch, **steps)))
    return torch.cat(found)[torch.from_numpy(ungrouped(groups))]
