"""Baselines: the same generator, prompted without any inference.

* `bc`: behavior cloning. One learned prompt for all trajectories.
* `bc-10`: the same on the tenth of the trajectories with the highest returns (10%BC).
* `dt-final`: a return-conditioned policy, the Decision Transformer (Chen et al., 2021) given
  what LPT is given: the trajectory's final return, as the prompt. It imitates what was done in
  trajectories of that return, whether skill or luck earned it.

`goal` (`lpt.algorithms.goal`) is told where a trajectory ends instead.

Generator, optimizer, budget and evaluation are LPT's own.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import gymnasium
import torch
from torch import Tensor, nn

from lpt.algorithms.algorithm import Inference, LearningContext, LogLikelihood
from lpt.config import ModelConfig, PlanningConfig
from lpt.data import Batch, TrajectoryDataset
from lpt.inference.engines import PosteriorEngine, PosteriorSample
from lpt.inference.noise import Noise
from lpt.inference.planning import Plan
from lpt.model import ConditionedTransformer, Spaces


@dataclass(frozen=True, kw_only=True)
class Prompted:
    """A baseline whose prompt is a function of the return, or one and the same."""

    name: str
    """As in `--algorithm`."""
    reads_return: bool = False
    """Whether the prompt depends on the return."""
    share: float = 1.0
    """Share of the trajectories that it learns from, those of the highest returns."""
    infers_plans: ClassVar[bool] = False
    observation_hint: ClassVar[str] = ""
    added_observations: ClassVar[int] = 0

    def build(self, config: ModelConfig, spaces: Spaces) -> ConditionedTransformer:
        """Return a new model."""
        return ConditionedTransformer(config, spaces)

    def training_data(self, dataset: TrajectoryDataset) -> TrajectoryDataset:
        """Return the share of the data that it learns from."""
        return dataset if self.share == 1 else dataset.best(self.share)

    def inference(self, context: LearningContext) -> Inference:
        """Return the prompts of the trajectories' own returns."""
        model = context.model
        return Prompts(model, lambda batch: self.condition(model, batch.returns))

    def condition(self, model: ConditionedTransformer, targets: Tensor) -> Tensor:
        """Return what prompts are made of, `[B, C]`, for standardized returns `[B]`."""
        return (targets if self.reads_return else torch.zeros_like(targets))[:, None]

    def plan(
        self,
        model: ConditionedTransformer,
        targets: Tensor,
        config: PlanningConfig,
        generator: torch.Generator,
    ) -> Plan:
        """Return the prompt of each target; the return it predicts is the one asked for."""
        with torch.no_grad():
            prompt = model.prompt(self.condition(model, targets))
        return Plan(prompt, prompt, targets)

    def wrap(self, env: gymnasium.Env, target: float) -> gymnasium.Env:
        """Return the environment as it is."""
        return env

    def weight(self, weight: float) -> float:
        """Return 1: nothing is inferred."""
        return 1.0

    def result_name(self, weight: float) -> str:
        """Return the algorithm's name."""
        return self.name


class Prompts:
    """The prompts of a batch, as the model gives them."""

    engine: PosteriorEngine | None = None

    def __init__(self, model: ConditionedTransformer, condition: Callable[[Batch], Tensor]) -> None:
        """Take the model, and what gives a batch's conditions `[B, C]`."""
        self.model, self.condition = model, condition

    def look(self, batch: Batch) -> None:
        """Read nothing more of a batch."""

    def infer(
        self,
        batch: Batch,
        seen: Tensor | None,
        likelihood: LogLikelihood,
        prior_weight: float | Tensor,
        noise: Noise,
    ) -> PosteriorSample:
        """Give a prompt for each trajectory, with its gradient to the prompt network."""
        prompt = self.model.prompt(self.condition(batch))
        return PosteriorSample(prompt, torch.zeros((), device=prompt.device))

    def examine(
        self,
        posterior: PosteriorSample,
        likelihood: LogLikelihood,
        fresh: LogLikelihood,
        prior_weight: float,
        noise: Noise,
    ) -> dict[str, float]:
        """Nothing is inferred."""
        return {}

    def parameters(self) -> list[nn.Parameter]:
        """Nothing but the model learns."""
        return []
