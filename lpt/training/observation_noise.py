"""How much noise learning adds to what the generator sees: it learns smooth answers."""

from __future__ import annotations

import torch
from torch import Tensor

from lpt.config import TrainingConfig
from lpt.data import TrajectoryDataset


def noise_deviation(
    config: TrainingConfig, dataset: TrajectoryDataset, added: int, device: torch.device
) -> float | Tensor:
    """Return the noise's standard deviation in standardized units, one for all or `[obs]`.

    Args:
        config: `observation_noise`, or `observation_noise_raw` of each coordinate.
        dataset: what is learned from, whose standard deviations divide the latter.
        added: coordinates that the algorithm appended to the environment's; they get no noise of
            the latter.
        device: where the result is.

    Raises:
        ValueError: if `observation_noise_raw` has another number of entries than observations.
    """
    raw = config.observation_noise_raw
    if not raw:
        return config.observation_noise
    wanted = dataset.observation_dim - added
    if len(raw) != wanted:
        raise ValueError(
            f"training.observation_noise_raw={list(raw)} has {len(raw)} entries, expected {wanted}:"
            f" one for each coordinate of the observations of {dataset.provenance.id}"
        )
    deviations = torch.tensor([*raw, *[0.0] * added], dtype=torch.float32)
    return (deviations / torch.tensor(dataset.observation_std)).to(device)
