"""AdamW with weight decay on matrices only, and its learning rate over a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from lpt.config import TrainingConfig
from lpt.machine.optimizers import AdamW


def build_optimizer(
    parameters: Iterable[nn.Parameter],
    config: TrainingConfig,
    device: torch.device,
    recorded: bool = False,
) -> torch.optim.AdamW:
    """Return the optimizer of parameters that lie on a device.

    Where its steps are recorded (`lpt.machine.graphs`) the rate lies on the device too.
    """
    groups: dict[bool, list[nn.Parameter]] = {True: [], False: []}
    for parameter in parameters:
        groups[parameter.ndim > 1].append(parameter)
    return AdamW(
        [
            {"params": groups[True], "weight_decay": config.weight_decay},
            {"params": groups[False], "weight_decay": 0.0},
        ],
        lr=torch.tensor(config.learning_rate, device=device) if recorded else config.learning_rate,
        fused=device.type in ("cpu", "cuda"),
        capturable=recorded,
    )


def set_learning_rate(
    optimizer: torch.optim.Optimizer, config: TrainingConfig, update: int, updates: int
) -> float:
    """Set and return the rate of an update: a linear rise, then a linear fall to zero."""
    rise = min(1.0, (update + 1) / max(1, config.warmup))
    fall = max(0.0, 1.0 - update / updates)
    rate = config.learning_rate * rise * fall
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
    return rate


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return what an optimizer remembers of each parameter, as `NUMBER.NAME`."""
    state = optimizer.state_dict()["state"]
    return {f"{number}.{slot}": x for number, slots in state.items() for slot, x in slots.items()}


def load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Have an optimizer go on from what `optimizer_tensors` gave."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        number, slot = name.split(".", 1)
        slots.setdefault(int(number), {})[slot] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
