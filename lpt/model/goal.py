"""The generator prompted by where a trajectory ends, and what is known of the ends by return."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lpt.config import ModelConfig
from lpt.model.prompted import ConditionedTransformer
from lpt.model.spaces import Spaces

LABELS = 257
"""Labels at which the mean end is known, evenly spaced from the data's lowest to the highest."""
NEAREST = 16
"""Trajectories whose ends are averaged at each of them."""


class GoalTransformer(ConditionedTransformer):
    """Prompted by where a trajectory ends; keeps where those of each return ended."""

    def __init__(self, config: ModelConfig, spaces: Spaces) -> None:
        """Build generator and prompt; raises as `ConditionedTransformer`."""
        super().__init__(config, spaces, spaces.observation_dim)
        self.known_ends = KnownEnds(spaces.observation_dim)


class KnownEnds(nn.Module):
    """The mean end of trajectories by label; buffers, so that they follow the weights everywhere.

    The rule: of the `NEAREST` trajectories whose labels are nearest to the one asked for (of equal
    ones the first in the data), the mean end. It is stored for `LABELS` labels, to the nearest of
    which the one asked for is rounded; one beyond the data's is taken for their lowest or highest.
    """

    ends: Tensor
    extent: Tensor

    def __init__(self, observation_dim: int) -> None:
        super().__init__()
        self.register_buffer("ends", torch.zeros(LABELS, observation_dim))
        self.register_buffer("extent", torch.zeros(2))

    def learn(self, ends: Tensor, labels: Tensor) -> None:
        """Take up the data's standardized ends `[n, obs]` and labels `[n]`."""
        low, high = labels.min(), labels.max()
        self.extent.copy_(torch.stack((low, high)))
        for place, label in enumerate(torch.linspace(float(low), float(high), LABELS)):
            nearest = (labels - label).abs().argsort(stable=True)[:NEAREST]
            self.ends[place] = ends[nearest].mean(0)

    def forward(self, labels: Tensor) -> Tensor:
        """Mean ends `[B, obs]` of standardized labels `[B]`."""
        low, high = self.extent
        share = ((labels - low) / (high - low).clamp_min(1e-12)).clamp(0, 1)
        return self.ends[(share * (LABELS - 1)).round().long()]
