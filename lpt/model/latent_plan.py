"""The Latent Plan Transformer, equation by equation (Kong et al., 2024, section 3).

    z0 ~ Normal(0, I)                                        prior noise         [B, N, D]
    z  = U_alpha(z0)                                         latent plan         [B, N, D]
    a_t ~ p_beta(a_t | s_{t-K+1:t}, a_{t-K:t-1}, z)          trajectory generator
    y  ~ Normal(r_gamma(z), sigma_y^2)                       return predictor

    log p(tau, y, z0) = log p(z0) + sum_t log p_beta(a_t | ..., z) + log p_gamma(y | z)

Everything is in nats; the chain's energy and the training loss are this one log joint. Given `z`,
trajectory and return are independent, and no reward ever enters the generator.

Shape legend: `B` batch of trajectories, `M` segments of each, `T` time, `K` context length
in environment steps, `N` plan tokens, `D` width.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from lpt.config import ModelConfig
from lpt.model.generator import PromptedTransformer
from lpt.model.remembered import RememberedPlans
from lpt.model.spaces import Spaces
from lpt.model.unet import UNetPrior


class LatentPlanTransformer(PromptedTransformer):
    """The whole model: prior, generator and return predictor, and their log joint."""

    def __init__(self, config: ModelConfig, spaces: Spaces) -> None:
        """Build the model.

        Raises:
            ValueError: if the likelihood does not fit the action space.
        """
        super().__init__(config, spaces)
        self.prior = UNetPrior(config.prior_width, config.prior_multipliers)
        hidden, size = config.return_hidden, config.plan_tokens * config.width
        self.return_predictor = nn.Sequential(
            nn.Flatten(),
            *(nn.Linear(size, hidden), nn.SiLU()),
            *(nn.Linear(hidden, hidden), nn.SiLU()),
            nn.Linear(hidden, 1),
            nn.Flatten(0),
        )
        self.remembered = RememberedPlans(config.remembered_plans, self.plan_shape)

    def plan_from_noise(self, z0: Tensor) -> Tensor:
        """`z = U_alpha(z0)`, `[B, N, D] -> [B, N, D]`."""
        return self.prior(z0)

    def predicted_return(self, z: Tensor) -> Tensor:
        """`r_gamma(z)`: `[B, N, D] -> [B]`, in standard deviations of the data's returns."""
        return self.return_predictor(z)

    def log_prior(self, z0: Tensor) -> Tensor:
        """`log p(z0)` of a standard normal without its constant, `[B]` nats."""
        return -0.5 * z0.square().flatten(1).sum(-1)

    def log_return(self, z: Tensor, returns: Tensor) -> Tensor:
        """`log p_gamma(y | z)` of standardized returns `[B]`, `[B]` nats."""
        sigma = self.config.return_std
        error = (returns - self.predicted_return(z)) / sigma
        return -0.5 * error.square() - math.log(sigma) - 0.5 * math.log(2 * math.pi)
