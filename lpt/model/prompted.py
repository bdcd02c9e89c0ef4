"""What a latent plan is compared with: the same generator, prompted by a function of the return."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lpt.config import ModelConfig
from lpt.model.generator import PromptedTransformer
from lpt.model.spaces import Spaces


class ConditionedTransformer(PromptedTransformer):
    """`p(a_t | s_{t-K+1:t}, a_{t-K:t-1}, f(c))`: the prompt is a function of a condition c."""

    def __init__(self, config: ModelConfig, spaces: Spaces, entries: int = 1) -> None:
        """Build generator and prompt.

        Args:
            config: sizes and likelihood; what belongs to the prior is not used.
            spaces: of the environment.
            entries: of a condition, C.

        Raises:
            ValueError: if the likelihood does not fit the action space.
        """
        super().__init__(config, spaces)
        hidden, size = config.return_hidden, config.plan_tokens * config.width
        self.prompt_network = nn.Sequential(
            nn.Linear(entries, hidden), nn.SiLU(), nn.Linear(hidden, size)
        )

    def prompt(self, condition: Tensor) -> Tensor:
        """`f(c)`, `[B, C] -> [B, N, D]`."""
        return self.prompt_network(condition).view(-1, *self.plan_shape)

    def plan_from_noise(self, z0: Tensor) -> Tensor:
        """Return the prompt as it is: there is no noise."""
        return z0

    def log_return(self, z: Tensor, returns: Tensor) -> Tensor:
        """Zero, `[B]` nats: returns are given here, not modeled."""
        return torch.zeros_like(returns)
