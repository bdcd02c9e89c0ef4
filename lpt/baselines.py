"""What a latent plan is compared with: the same generator, prompted without any inference.

* ``bc``: behaviour cloning. One learnt prompt for all trajectories.
* ``bc-10``: the same on the tenth of the trajectories with the highest returns (10%BC).
* ``dt-final``: a return-conditioned policy, the Decision Transformer (Chen et al., 2021) given
  what LPT is given: the trajectory's final return, as the prompt. It imitates what was done in
  trajectories of that return, whether skill or luck earned it.
* ``dt``: the Decision Transformer with a return-to-go at every step (:mod:`lpt.return_to_go`).

Generator, optimiser, budget and evaluation are LPT's own.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from lpt.data import SamplerConfig, TrajectoryDataset
from lpt.model import LatentPlanTransformer, ModelConfig, PromptedTransformer, Spaces
from lpt.return_to_go import with_return_to_go

Algorithm = Literal["lpt", "bc", "bc-10", "dt-final", "dt"]
BEST_SHARE = 0.1
"""Share of the trajectories that ``bc-10`` learns from."""


class ConditionedTransformer(PromptedTransformer):
    """``p(a_t | s_{t-K+1:t}, a_{t-K:t-1}, f(y))``: the prompt is a function of the return."""

    def __init__(self, config: ModelConfig, spaces: Spaces, reads_return: bool) -> None:
        """Build generator and prompt.

        Args:
            config: sizes and likelihood; what belongs to the prior is not used.
            spaces: of the environment.
            reads_return: whether the prompt depends on y (``dt-final``) or not (the others).

        Raises:
            ValueError: if the likelihood does not fit the action space.
        """
        super().__init__(config, spaces)
        self.reads_return = reads_return
        hidden, size = config.return_hidden, config.plan_tokens * config.width
        self.prompt_network = nn.Sequential(
            nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, size)
        )

    def prompt(self, returns: Tensor) -> Tensor:
        """``f(y)`` of standardised returns, ``[B] -> [B, N, D]``; only ``dt-final`` reads them."""
        y = returns[:, None] if self.reads_return else torch.zeros_like(returns)[:, None]
        return self.prompt_network(y).view(-1, *self.plan_shape)

    def plan_from_noise(self, z0: Tensor) -> Tensor:
        """The prompt as it is: there is no noise."""
        return z0

    def log_return(self, z: Tensor, returns: Tensor) -> Tensor:
        """Zero, ``[B]`` nats: returns are given here, not modelled."""
        return torch.zeros_like(returns)


Model = LatentPlanTransformer | ConditionedTransformer
"""What a run trains and a policy acts with."""


def build_model(algorithm: Algorithm, config: ModelConfig, spaces: Spaces) -> Model:
    """The model of an algorithm.

    Raises:
        ValueError: for an unknown algorithm, or a likelihood that does not fit the action space.
    """
    if algorithm not in get_args(Algorithm):
        known = ", ".join(get_args(Algorithm))
        raise ValueError(f"unknown algorithm {algorithm!r}: this lpt-toolkit knows {known}")
    if algorithm == "lpt":
        return LatentPlanTransformer(config, spaces)
    return ConditionedTransformer(config, spaces, reads_return=algorithm == "dt-final")


def training_data(algorithm: Algorithm, dataset: TrajectoryDataset) -> TrajectoryDataset:
    """What an algorithm learns from: all data as they are, but for ``bc-10`` and ``dt``.

    Raises:
        ValueError: as :func:`lpt.return_to_go.with_return_to_go`.
    """
    if algorithm == "bc-10":
        return dataset.best(BEST_SHARE)
    return with_return_to_go(dataset) if algorithm == "dt" else dataset


def fitting_sampler(config: SamplerConfig, dataset: TrajectoryDataset) -> SamplerConfig:
    """The sampler's settings for a data set of fewer trajectories than a batch has (``bc-10``).

    The same number of segments is taken from the trajectories there are; where trajectories are
    read whole, there are fewer of them.
    """
    count, asked = len(dataset), config.batch_trajectories
    if asked <= count:
        return config
    segments = -(-config.segments * asked // count)
    return replace(config, batch_trajectories=count, segments=segments)
