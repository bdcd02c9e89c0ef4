"""Trainers without a run, and what it means that one resumes exactly."""

import json
from collections.abc import Sequence
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from lpt.config import Config
from lpt.data import TrajectoryDataset
from lpt.training import Trainer
from lpt.training.diagnosis import diagnose

CPU = torch.device("cpu")


def train(
    config: Config, data: TrajectoryDataset, updates: int, diagnose_at: Sequence[int] = ()
) -> Trainer:
    """A trainer after so many updates, diagnosed before those of `diagnose_at`."""
    trainer = Trainer(config, data, CPU)
    for update in range(updates):
        if update in diagnose_at:
            diagnose(trainer)
        trainer.update()
    return trainer


def through_files(trainer: Trainer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A trainer's state after the formats of a checkpoint: safetensors and JSON."""
    tensors, values = trainer.state()
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.load(safetensors.torch.save(tensors)), json.loads(json.dumps(values))


def assert_same_state(one: Trainer, two: Trainer) -> None:
    """Fail unless the next updates of both would be the same."""
    (tensors, values), (others, other_values) = one.state(), two.state()
    assert values == other_values and tensors.keys() == others.keys()
    different = [name for name in tensors if not torch.equal(tensors[name], others[name])]
    assert not different


def assert_resume_is_exact(config: Config, data: TrajectoryDataset) -> None:
    """Fail unless a run that is stopped and resumed ends as one that is not, to the last bit."""
    whole = train(config, data, 4, diagnose_at=(1, 3))
    tensors, values = through_files(train(config, data, 2, diagnose_at=(1,)))
    torch.manual_seed(987)  # whatever the new process did before
    resumed = Trainer(config, data, CPU)
    torch.randn(5)
    resumed.load_state(tensors, values)
    assert resumed.updates == 2
    resumed.update()
    diagnose(resumed)
    resumed.update()
    assert_same_state(whole, resumed)
