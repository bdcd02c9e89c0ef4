"""The amortized proposal `q(z0 | tau, y)`: where a chain starts, learned by the evidence bound.

A small bidirectional Transformer reads an overview of the trajectory, a few steps spread evenly
over it, and gives a diagonal Gaussian over the prior noise. Its sample is the start of the chain
(or, with no Langevin steps, the posterior sample itself).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lpt.config import ProposalConfig
from lpt.data.dataset import TrajectoryDataset
from lpt.inference.noise import Noise, uniform_like
from lpt.model.grouping import WORTH, like_lengths, ungrouped
from lpt.model.spaces import Spaces


def overview(
    dataset: TrajectoryDataset,
    index: np.ndarray,
    config: ProposalConfig,
    generator: Noise,
    begin: Tensor | None = None,
) -> Tensor:
    """Return a few steps spread evenly over each trajectory, or over its end from a random step on.

    Only recorded steps are shown: the held ones (`dataset.held_steps`) follow from the last.

    Args:
        dataset: the trajectories.
        index: `[B]` trajectory numbers.
        config: number of steps `P` and what may be seen.
        generator: draws where each view begins (`view='end'`); on the CPU.
        begin: `[B]` where they begin, as a share of the trajectory, where that is given: at
            the nearest step, perhaps one beside the first that a sampler's segments show.

    Returns:
        `[B, P, obs + act + 1]`: standardized state, action (one-hot if discrete), and a time. Of
        the whole trajectory it is the step's number in units of the longest one, so that lengths
        can be told apart; of an end, whose start is hidden, its place in the view from 0 to 1.
    """
    share = np.linspace(0.0, 1.0, config.steps)[None, :]
    if config.view == "end":
        if begin is None:
            begin = uniform_like(torch.zeros(len(index)), generator)
        share = begin[:, None].numpy() + (1.0 - begin[:, None].numpy()) * share
    step = np.rint(share * (dataset.lengths[index, None] - 1)).astype(np.int64)
    row = dataset.offsets[index, None] + step
    state = (dataset.observations[row] - dataset.observation_mean) / dataset.observation_std
    action = dataset.actions[row]
    if dataset.discrete:
        action = np.eye(dataset.action_dim, dtype=np.float32)[action]
    place = np.broadcast_to(np.linspace(0.0, 1.0, config.steps), step.shape)
    time = (step / dataset.lengths.max() if config.view == "whole" else place)[..., None]
    return torch.from_numpy(np.concatenate((state, action, time), axis=-1).astype(np.float32))


class Proposal(nn.Module):
    """Diagonal Gaussian over `z0` `[B, N, D]` given a trajectory's overview and return."""

    def __init__(self, config: ProposalConfig, spaces: Spaces, plan_shape: tuple[int, int]) -> None:
        super().__init__()
        self.plan_shape, self.reads_return = plan_shape, config.reads_return
        # (state, action, relative time, return) at each step of the overview.
        self.embed = nn.Linear(spaces.observation_dim + spaces.action_dim + 2, config.width)
        layer = nn.TransformerEncoderLayer(
            config.width,
            config.heads,
            dim_feedforward=4 * config.width,
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.encoder = nn.TransformerEncoder(layer, config.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(config.width)
        self.head = nn.Linear(config.width, 2 * plan_shape[0] * plan_shape[1])

    def forward(self, overview: Tensor, returns: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of `q`.

        Args:
            overview: `[B, P, obs + act + 1]` standardized state, action and relative time.
            returns: `[B]` standardized returns.

        Returns:
            Mean and standard deviation, each `[B, N, D]`; deviations lie in [e^-6, e].
        """
        y = returns[:, None, None].expand(-1, overview.shape[1], 1) * self.reads_return
        steps = torch.cat((overview, y), dim=-1)
        # Under autocast a CPU would compile its kernels for each size of a group.
        plain = steps.device.type == "cpu" and not torch.is_autocast_enabled("cpu")
        read = self._read_distinct(steps) if plain else self._read(steps)
        moments = self.head(self.norm(read)).to(returns.dtype)  # even under autocast
        mean, log_std = moments.chunk(2, dim=-1)
        shape = (-1, *self.plan_shape)
        return mean.reshape(shape), log_std.clamp(-6.0, 1.0).exp().reshape(shape)

    def _read(self, steps: Tensor, times: Tensor | None = None) -> Tensor:
        """Return what `[B, P, ...]` steps say, `[B, D]`, each counted `times` `[B, P]`, or once."""
        embedded = self.embed(steps)
        if times is None:
            mean: Tensor = self.encoder(embedded).mean(1)
            return mean
        # Attention to n equal steps is attention to one whose score is higher by log n.
        hidden = self.encoder(embedded, src_key_padding_mask=times.log())
        weighted: Tensor = (hidden * times[..., None]).sum(1)
        return weighted / times.sum(1, keepdim=True)

    def _read_distinct(self, steps: Tensor, worth: int = WORTH) -> Tensor:
        """Return the same of an overview that shows short trajectories' steps several times.

        Each is read once and counted as often as it is shown, trajectories with alike many
        together, where that spares `worth` steps.
        """
        if steps.shape[0] * steps.shape[1] < worth:
            return self._read(steps)
        time = steps[..., -2]
        number = (time.diff(dim=1) != 0).cumsum(1)  # of distinct steps before; equal times: one
        number = torch.cat((number.new_zeros(len(number), 1), number), 1)
        counts = (number[:, -1] + 1).numpy()
        groups = like_lengths(counts, worth)
        longest = [int(counts[group[-1]]) for group in groups]
        read = sum(len(group) * most for group, most in zip(groups, longest, strict=True))
        if number.numel() - read < worth:
            return self._read(steps)
        found = []
        for group, most in zip(groups, longest, strict=True):
            rows = torch.from_numpy(group)
            own, none = number[rows], torch.zeros(len(group), most)
            times = none.scatter_add(1, own, torch.ones(own.shape))
            place = torch.arange(own.shape[1]).expand_as(own)
            place = none.long().scatter(1, own, place)  # of equal ones any
            found.append(self._read(steps[rows[:, None], place], times))
        return torch.cat(found)[torch.from_numpy(ungrouped(groups))]
