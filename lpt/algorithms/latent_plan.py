"""`lpt`: the Latent Plan Transformer, its plans inferred in learning and before acting."""

from __future__ import annotations

from collections.abc import Callable

import gymnasium
import torch
from torch import Tensor, nn

from lpt.algorithms.algorithm import Inference, LearningContext, LogLikelihood
from lpt.config import ModelConfig, PlanningConfig, SamplerConfig
from lpt.data import Batch, TrajectoryDataset
from lpt.inference.chains import Chains
from lpt.inference.engines import (
    Amortized,
    Evidence,
    Langevin,
    PosteriorEngine,
    PosteriorSample,
    Preconditioned,
    Variational,
)
from lpt.inference.noise import Noise
from lpt.inference.planning import Plan, infer_plans
from lpt.inference.proposal import Proposal, overview
from lpt.machine.precision import in_precision
from lpt.model import LatentPlanTransformer, Spaces


class LatentPlan:
    """The algorithm of the toolkit; planned with w > 1 its results are called `lpt-ei`."""

    name = "lpt"
    infers_plans = True
    reads_return = True
    observation_hint = ""

    def build(self, config: ModelConfig, spaces: Spaces) -> LatentPlanTransformer:
        """Return a new model."""
        return LatentPlanTransformer(config, spaces)

    def training_data(self, dataset: TrajectoryDataset) -> TrajectoryDataset:
        """Return all data as they are."""
        return dataset

    def sampler(self, config: SamplerConfig, dataset: TrajectoryDataset) -> SamplerConfig:
        """Return the settings as they are."""
        return config

    def inference(self, context: LearningContext) -> Inference:
        """Return inference by the configured engine."""
        return PlanInference(context.model, ENGINES[context.config.engine](context))

    def plan(
        self,
        model: LatentPlanTransformer,
        targets: Tensor,
        config: PlanningConfig,
        generator: torch.Generator,
    ) -> Plan:
        """Infer a latent plan for each target."""
        return infer_plans(model, targets, config, generator)

    def wrap(self, env: gymnasium.Env, target: float) -> gymnasium.Env:
        """Return the environment as it is."""
        return env

    def weight(self, weight: float) -> float:
        """Return w."""
        return weight

    def result_name(self, weight: float) -> str:
        """Return `lpt`, or `lpt-ei` for w > 1."""
        return "lpt-ei" if weight > 1 else self.name


class PlanInference:
    """Latent plans of a batch, by an engine."""

    def __init__(self, model: LatentPlanTransformer, engine: PosteriorEngine) -> None:
        self.model, self.engine = model, engine

    def infer(
        self, batch: Batch, likelihood: LogLikelihood, prior_weight: float, noise: Noise
    ) -> PosteriorSample:
        """Infer a plan for each trajectory; the model must be in evaluation mode."""

        def energy(z0: Tensor) -> Tensor:
            evidence = likelihood(z0) / prior_weight
            return -self.model.log_prior(z0) - evidence

        given = Evidence(energy, batch.index.cpu(), batch.returns, prior_weight)
        return self.engine.infer(given, noise)

    def parameters(self) -> list[nn.Parameter]:
        """Return what the engine learns."""
        return list(self.engine.parameters())


def _amortized(context: LearningContext) -> Amortized:
    config, model, device = context.config, context.model, context.device
    proposal = Proposal(config.proposal, model.spaces, model.plan_shape).to(device)

    def look(index: Tensor) -> Tensor:
        glance = overview(context.dataset, index.numpy(), config.proposal, context.views)
        return glance.to(device)

    propose = in_precision(proposal.forward, config.training.precision, device)
    return Amortized(config.posterior, proposal, look, propose)


def _langevin(context: LearningContext) -> Langevin:
    return Langevin(context.config.posterior, _chains(context), context.ranks)


def _preconditioned(context: LearningContext) -> Preconditioned:
    return Preconditioned(context.config.posterior, _chains(context), context.ranks)


def _variational(context: LearningContext) -> Variational:
    return Variational(context.config.posterior, context.model.plan_shape)


ENGINES: dict[str, Callable[[LearningContext], PosteriorEngine]] = {
    "amortized": _amortized,
    "langevin": _langevin,
    "preconditioned": _preconditioned,
    "variational": _variational,
}
"""What builds each posterior engine."""


def _chains(context: LearningContext) -> Chains:
    start = torch.Generator().manual_seed(context.config.seed + 1)
    shard = (context.ranks.rank, context.ranks.count)
    return Chains(context.dataset.num_trajectories, context.model.plan_shape, start, shard)
