"""What training, policy and evaluation need to know of an algorithm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import gymnasium
import torch
from torch import Tensor, nn

from lpt.config import Config, ModelConfig, PlanningConfig
from lpt.data import Batch, TrajectoryDataset
from lpt.inference.engines import PosteriorEngine, PosteriorSample
from lpt.inference.noise import Noise, SharedNoise
from lpt.inference.planning import Plan
from lpt.machine.processes import Ranks
from lpt.model import Model, Spaces

LogLikelihood = Callable[[Tensor], Tensor]
"""`log p(tau, y | z0)` of a batch, `[B, N, D] -> [B]` nats."""


@dataclass(frozen=True, kw_only=True)
class LearningContext:
    """What an algorithm's inference while learning is built from."""

    config: Config
    """The run's configuration."""
    model: Any
    """The algorithm's own model, on the device."""
    dataset: TrajectoryDataset
    """What it learns from."""
    device: torch.device
    """Where to compute."""
    ranks: Ranks
    """The processes that share the work."""
    views: SharedNoise
    """Source of what the proposal may see; on the CPU."""


class Inference(Protocol):
    """Where the prompts of a batch come from while learning."""

    @property
    def engine(self) -> PosteriorEngine | None:
        """What infers latent plans; None where there are none to infer."""

    def look(self, batch: Batch) -> Tensor | None:
        """Return what `infer` reads of a batch's trajectories besides the batch; on the CPU."""

    def infer(
        self,
        batch: Batch,
        seen: Tensor | None,
        likelihood: LogLikelihood,
        prior_weight: float | Tensor,
        noise: Noise,
    ) -> PosteriorSample:
        """Give a prompt for each trajectory of a batch, all on one device.

        It does not wait for the device, and what it does depends on the shapes alone.
        """

    def examine(
        self,
        posterior: PosteriorSample,
        likelihood: LogLikelihood,
        fresh: LogLikelihood,
        prior_weight: float,
        noise: Noise,
    ) -> dict[str, float]:
        """Return scalars of how well prompts were inferred by `likelihood`, for the log.

        `fresh` is the likelihood of other segments of the same trajectories.
        """

    def parameters(self) -> list[nn.Parameter]:
        """Return what learns besides the model."""


class Algorithm(Protocol):
    """One algorithm; see `lpt.algorithms.table` for all of them."""

    @property
    def name(self) -> str:
        """As in `--algorithm`."""

    @property
    def infers_plans(self) -> bool:
        """Whether it infers a latent plan, so that engine, weight w and draws mean something."""

    @property
    def reads_return(self) -> bool:
        """Whether the return that is asked for changes what it does."""

    @property
    def observation_hint(self) -> str:
        """End the error about observations of a wrong size; empty where they are the data's."""

    @property
    def added_observations(self) -> int:
        """Coordinates that its data append to the environment's observations."""

    def build(self, config: ModelConfig, spaces: Spaces) -> Model:
        """Return a new model; raises ValueError for a likelihood that does not fit the spaces."""

    def training_data(self, dataset: TrajectoryDataset) -> TrajectoryDataset:
        """Return what it learns from; raises ValueError where it cannot."""

    def inference(self, context: LearningContext) -> Inference:
        """Return where prompts come from while learning."""

    def plan(
        self, model: Any, targets: Tensor, config: PlanningConfig, generator: torch.Generator
    ) -> Plan:
        """Return one plan for each standardized target `[B]`; the model is in evaluation mode."""

    def wrap(self, env: gymnasium.Env, target: float) -> gymnasium.Env:
        """Return an environment that shows what it was trained on; `target` is in raw units."""

    def weight(self, weight: float) -> float:
        """Return the planning weight w that counts; 1 where none does."""

    def result_name(self, weight: float) -> str:
        """Return its name in results, planned with weight w."""
