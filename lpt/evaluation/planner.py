"""Planning with a trained model: from a target return to plans, and what is known of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from lpt.algorithms import find_algorithm
from lpt.checkpoint.metadata import PolicyMetadata
from lpt.config import PlanningConfig
from lpt.evaluation.checks import finite_target
from lpt.inference.nearness import nearness_to_kept
from lpt.inference.planning import Plan
from lpt.machine.device import find_device
from lpt.model import LatentPlanTransformer, Model


class Planner:
    """A trained model with what it needs to plan for a return; a policy also acts."""

    def __init__(
        self,
        model: Model,
        metadata: PolicyMetadata,
        planning: PlanningConfig | None = None,
        target: float | None = None,
        device: str | torch.device = "cpu",
        seed: int = 0,
    ) -> None:
        """Wrap a model; arguments and errors are those of `LPTPolicy`."""
        self.device = find_device(device)
        self.model = model.to(self.device)
        self.metadata, self.spaces = metadata, metadata.spaces
        self.algorithm, config = find_algorithm(metadata.algorithm), metadata.config
        self.planning = planning or config.planning
        if target is None:
            target = config.evaluation.target
        self.target = finite_target(metadata.return_quantiles.q99 if target is None else target)
        self.generator = torch.Generator(self.device)
        self.seed(seed)
        self._modules = list(model.modules())

    def seed(self, seed: int) -> None:
        """Restart the random numbers of planning and of sampled actions."""
        self.generator.manual_seed(seed)

    def standardized(self, returns: float) -> float:
        """Return a raw return in standard deviations of the data's returns."""
        return (finite_target(returns) - self.metadata.return_mean) / self.metadata.return_std

    def predicted_returns(self, plan: Plan) -> np.ndarray:
        """`[n]` returns that the model predicts for plans, raw units."""
        predicted = plan.predicted_return.cpu().numpy()
        return predicted * self.metadata.return_std + self.metadata.return_mean

    def describe(self, plan: Plan) -> dict[str, float]:
        """Return what is known of plans, means over them, returns in raw units.

        `predicted_return`; where they were chosen among remembered ones also `effective_plans` (how
        many were in question), `spread` (of the returns predicted for these) and `highest` (what
        any remembered plan predicts: a target above it asks for what was never seen). Where the
        model remembers plans, `nearest`, how far the nearest of these is, and `remote`, beyond
        which one in a hundred of them lies, both in units of what is usual among them.
        """
        found = {"predicted_return": float(self.predicted_returns(plan).mean())}
        if plan.choice is not None:
            unit, mean = self.metadata.return_std, self.metadata.return_mean
            found["effective_plans"] = float(plan.choice.effective.mean())
            found["spread"] = float(plan.choice.spread.mean()) * unit
            found["highest"] = float(plan.choice.highest) * unit + mean
        if isinstance(self.model, LatentPlanTransformer):
            near = nearness_to_kept(self.model, plan.z)
            if near is not None:
                found["nearest"] = float(near.nearest.mean())
                found["remote"] = float(near.remote)
        return found

    def plan(self, target: float | None = None, n: int = 1, weight: float | None = None) -> Plan:
        """Infer `n` plans for a target return.

        Args:
            target: raw return; unset: the policy's.
            n: number of plans, inferred as one batch.
            weight: power of the return's likelihood, 1 for LPT, above 1 for LPT-EI; unset: the
                policy's.
        """
        planning = self.planning
        if weight is not None:
            planning = dataclasses.replace(planning, weight=weight)
        standardized = self.standardized(self.target if target is None else target)
        targets = torch.full((n,), standardized, device=self.device)
        with self.evaluation_mode():
            return self.algorithm.plan(self.model, targets, planning, self.generator)

    def used_weight(self, weight: float | None = None) -> float:
        """Return the planning weight w that counts; 1 for baselines, which infer nothing."""
        return self.algorithm.weight(self.planning.weight if weight is None else float(weight))

    @contextmanager
    def evaluation_mode(self) -> Iterator[None]:
        """Dropout off, whatever the model's mode, which is put back."""
        training = [module for module in self._modules if module.training]
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True
