"""Steps scored without their history, so that only state and plan can explain them."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lpt.data import Batch


def split_history(batch: Batch, count: int) -> list[Batch]:
    """Return the batch with the steps of each trajectory's first `count` segments cut loose.

    A step on its own has no history that could give the plan away, so its action is a matter of
    state and plan alone.

    Args:
        batch: `[B, M, T, ...]` segments.
        count: segments to cut, at most `M`.

    Returns:
        The other `M - count` segments as they are, and `count * T` segments of one step.
    """
    if count == 0:
        return [batch]

    def single(x: Tensor) -> Tensor:
        return x[:, :count].flatten(1, 2).unsqueeze(2)

    fields = ("observations", "previous_actions", "actions", "weight")
    loose = {name: single(getattr(batch, name)) for name in fields}
    loose["previous_actions"] = torch.zeros_like(loose["previous_actions"])
    whole = {name: getattr(batch, name)[:, count:] for name in fields}
    return [replace(batch, **part) for part in (whole, loose) if part["weight"].shape[1]]
