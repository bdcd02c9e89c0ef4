"""How much the plans know, and how well they are inferred: measured, and nothing learns from it."""

from __future__ import annotations

import torch
from torch import Tensor

from lpt.data import Batch
from lpt.inference.engines import PosteriorSample
from lpt.inference.noise import SharedNoise, noise_like
from lpt.model import LatentPlanTransformer
from lpt.training.trainer import Trainer


def diagnose(trainer: Trainer) -> dict[str, float]:
    """Measure plans on fresh segments, after inference on others.

    Returns:
        `plan/own` is the action log-likelihood with a trajectory's own posterior plan, `shuffled`
        with another trajectory's, `prior` with a draw from the prior (nats a step); where they
        agree the plan is ignored. `return_correlation` is that of r(z) with y. Besides, what the
        engine tells of its chains.
    """
    batch = trainer.batches.to_infer().to(trainer.device)
    weight = trainer.config.posterior.weight_at(trainer.updates)
    trainer.model.eval()
    posterior = trainer.infer(batch, weight)
    fresh = trainer.batches.fresh(batch).to(trainer.device)
    examined = _examine(trainer, posterior, batch, fresh, weight)
    with torch.no_grad():
        scalars = _compare(trainer, posterior.z0.detach(), batch, fresh)
    return {f"plan/{name}": value for name, value in scalars.items()} | examined


def _compare(trainer: Trainer, z0: Tensor, batch: Batch, fresh: Batch) -> dict[str, float]:
    """Return how likely actions are by their own plan, by another one's and by none."""

    def score(plans: Tensor) -> float:
        log_actions, _ = trainer.log_likelihood(plans, fresh)
        return float(trainer.ranks.mean(log_actions)) * trainer.scale

    own, shuffled = score(z0), score(trainer.of_all(z0, batch).roll(1, 0)[batch.rows])
    scalars = {"own": own, "shuffled": shuffled, "information": own - shuffled}
    if isinstance(trainer.model, LatentPlanTransformer):
        scalars["prior"] = score(noise_like(z0, trainer.noise))
        predicted = trainer.model.predicted_return(trainer.model.plan_from_noise(z0))
        pair = trainer.of_all(torch.stack((predicted, batch.returns), dim=1), batch)
        if len(pair) > 1:
            known = torch.corrcoef(pair.t())[0, 1].nan_to_num()
            scalars["return_correlation"] = float(known)
    return scalars


def _examine(
    trainer: Trainer, posterior: PosteriorSample, batch: Batch, fresh: Batch, prior_weight: float
) -> dict[str, float]:
    """Return how well plans were inferred, by noise of its own."""
    noise = SharedNoise(torch.Generator(trainer.device).manual_seed(trainer.updates))
    noise.share(batch.rows, len(batch.drawn))
    seen, other = trainer.joint(batch), trainer.joint(fresh)
    return trainer.inference.examine(posterior, seen, other, prior_weight, noise)
