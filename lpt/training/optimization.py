"""AdamW with weight decay on matrices only, and its learning rate over a run."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from lpt.config import TrainingConfig


def build_optimizer(
    parameters: Iterable[nn.Parameter], config: TrainingConfig, device: torch.device
) -> torch.optim.AdamW:
    """Return the optimizer of parameters that lie on a device."""
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        groups[parameter.ndim > 1].append(parameter)
    return torch.optim.AdamW(
        [
            {"params": groups[True], "weight_decay": config.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=device.type in ("cpu", "cuda"),
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, update: int, updates: int
) -> float:
    """Set and return the rate of an update: a linear rise, then a linear fall to zero."""
    rise = min(1.0, (update + 1) / max(1, config.warmup))
    fall = max(0.0, 1.0 - update / updates)
    rate = config.learning_rate * rise * fall
    for group in optimizer.param_groups:
        group["lr"] = rate
    return rate
