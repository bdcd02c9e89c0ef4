"""`lpt`: the Latent Plan Transformer, its plans inferred in learning and before acting."""

from __future__ import annotations

import gymnasium
import torch
from torch import Tensor, nn

from lpt.algorithms.algorithm import Inference, LearningContext, LogLikelihood
from lpt.config import ModelConfig, PlanningConfig
from lpt.data import Batch, TrajectoryDataset
from lpt.inference.chains import Chains
from lpt.inference.engines import (
    Evidence,
    LangevinEngine,
    LangevinSettings,
    PosteriorEngine,
    PosteriorSample,
    ProposalNetwork,
    Variational,
)
from lpt.inference.health import energy_excess, largest_curvature
from lpt.inference.noise import Noise
from lpt.inference.planning import Plan, infer_plans
from lpt.inference.proposal import Proposal, overview
from lpt.inference.samplers import Energy
from lpt.machine.precision import in_precision
from lpt.model import LatentPlanTransformer, Spaces

FIRST_SIZE = 0.3
"""Step size of an examining chain after an engine that has none."""


class LatentPlan:
    """The algorithm of the toolkit; planned with w > 1 its results are called `lpt-ei`."""

    name = "lpt"
    infers_plans = True
    reads_return = True
    observation_hint = ""
    added_observations = 0

    def build(self, config: ModelConfig, spaces: Spaces) -> LatentPlanTransformer:
        """Return a new model."""
        return LatentPlanTransformer(config, spaces)

    def training_data(self, dataset: TrajectoryDataset) -> TrajectoryDataset:
        """Return all data as they are."""
        return dataset

    def inference(self, context: LearningContext) -> Inference:
        """Return inference by the configured engine."""
        return PlanInference(context.model, build_engine(context), context)

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

    def __init__(
        self, model: LatentPlanTransformer, engine: PosteriorEngine, context: LearningContext
    ) -> None:
        self.model, self.engine, self.ranks = model, engine, context.ranks
        self.ends, self.views = context.config.evidence_ends, context.views

    def look(self, batch: Batch) -> Tensor | None:
        """Return what the proposal reads, from where segments begin if chains see ends only."""
        self.views.share(batch.rows, len(batch.drawn))
        return self.engine.look(batch.index.cpu(), batch.begin.cpu() if self.ends else None)

    def infer(
        self,
        batch: Batch,
        seen: Tensor | None,
        likelihood: LogLikelihood,
        prior_weight: float | Tensor,
        noise: Noise,
    ) -> PosteriorSample:
        """Infer a plan for each trajectory; the model must be in evaluation mode."""
        energy = self._energy(likelihood, prior_weight)
        begin = batch.begin if self.ends else None
        given = Evidence(energy, batch.index, batch.returns, begin, prior_weight, seen)
        return self.engine.infer(given, noise)

    def examine(
        self,
        posterior: PosteriorSample,
        likelihood: LogLikelihood,
        fresh: LogLikelihood,
        prior_weight: float,
        noise: Noise,
    ) -> dict[str, float]:
        """Measure how far the plans are from where longer chains go, and how stiff it is there."""
        energy, other = (self._energy(given, prior_weight) for given in (likelihood, fresh))
        z0 = posterior.z0.detach()
        std = torch.ones_like(z0) if posterior.scale is None else posterior.scale
        size = float(posterior.diagnostics.get("chain/step_size", FIRST_SIZE))
        mean = self.ranks.mean
        excess = energy_excess(energy, other, z0, std, size or FIRST_SIZE, noise, mean)
        found = {"chain/energy_excess": excess}
        if self.engine.plain_steps:
            unstable = 0.5 * size**2 * largest_curvature(energy, z0, std, noise) > 2
            found["chain/unstable"] = float(mean(unstable.float()))
        return found

    def _energy(self, likelihood: LogLikelihood, prior_weight: float | Tensor) -> Energy:
        def energy(z0: Tensor) -> Tensor:
            evidence = likelihood(z0) / prior_weight
            return -self.model.log_prior(z0) - evidence

        return energy

    def parameters(self) -> list[nn.Parameter]:
        """Return what the engine learns."""
        return list(self.engine.parameters())


LANGEVIN: dict[str, LangevinSettings] = {
    "langevin": LangevinSettings(
        start="proposal", metric="proposal", corrected=True, steps=1, step_size=0.3
    ),
    "langevin-paper": LangevinSettings(
        start="chains", metric="identity", corrected=False, steps=3, step_size=0.3
    ),
    "preconditioned": LangevinSettings(
        start="chains", metric="gradients", corrected=False, steps=8, step_size=0.3
    ),
    "amortized": LangevinSettings(
        start="proposal", metric="identity", corrected=False, steps=0, step_size=0.1
    ),
}
"""The named points of the Langevin engine; `posterior` changes any part of one."""
ENGINES = (*LANGEVIN, "variational")
"""What `--engine` takes."""


def build_engine(context: LearningContext) -> PosteriorEngine:
    """Return the configured engine.

    Raises:
        ValueError: for settings that do not go together.
    """
    config, plan_shape = context.config, context.model.plan_shape
    own_batch = config.posterior.trajectories > 0
    if config.engine == "variational":
        if own_batch:
            raise ValueError(
                "posterior.trajectories needs plans that are kept, and engine variational keeps "
                "none: one batch for plans and parameters is --posterior.trajectories 0 (then "
                "sampler.segments is the evidence too)"
            )
        return Variational(config.posterior, plan_shape)
    settings = LangevinSettings.of(LANGEVIN[config.engine], config.posterior)
    if own_batch and not settings.steps:
        raise ValueError(
            f"posterior.trajectories needs steps, and engine {config.engine} takes none: one batch "
            "for plans and parameters is --posterior.trajectories 0 (then sampler.segments is the "
            "evidence too), or give --posterior.steps 1"
        )
    return LangevinEngine(
        settings,
        plan_shape,
        chains=_chains(context) if own_batch or settings.start == "chains" else None,
        proposal=_proposal(context) if settings.proposes else None,
        ranks=context.ranks,
        device=_lasting(context.device),
    )


def _lasting(device: torch.device) -> torch.device:
    """Return where an engine keeps what lasts: on a GPU, so that updates need not wait for it."""
    return device if device.type == "cuda" else torch.device("cpu")


def _proposal(context: LearningContext) -> ProposalNetwork:
    config, model, device = context.config, context.model, context.device
    network = Proposal(config.proposal, model.spaces, model.plan_shape).to(device)

    def look(index: Tensor, begin: Tensor | None) -> Tensor:
        return overview(context.dataset, index.numpy(), config.proposal, context.views, begin)

    propose = in_precision(network.forward, config.training.precision, device)
    return ProposalNetwork(network, look, propose)


def _chains(context: LearningContext) -> Chains:
    start = torch.Generator().manual_seed(context.config.seed + 1)
    shard, device = (context.ranks.rank, context.ranks.count), _lasting(context.device)
    return Chains(context.dataset.num_trajectories, context.model.plan_shape, start, shard, device)
