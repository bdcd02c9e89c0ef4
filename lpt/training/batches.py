"""The batches of an update, on the CPU: one to infer plans of, and one that parameters learn from.

They are the same, except where chains have batches of their own (`posterior.trajectories`): then
parameters learn from trajectories that chains have visited, at the plans that these hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lpt.config import Config, SamplerConfig
from lpt.data import Batch, TrajectoryDataset, TrajectorySampler
from lpt.inference.chains import Chains
from lpt.machine.processes import Ranks


class Batches:
    """Draws them for one process, and keeps count of what was drawn."""

    def __init__(
        self,
        config: Config,
        dataset: TrajectoryDataset,
        ranks: Ranks,
        chains: Chains | None,
    ) -> None:
        """Begin at the first batch.

        Args:
            config: the run's.
            dataset: the trajectories.
            ranks: the processes that share each batch.
            chains: plans that are kept for every trajectory, where the engine has some.

        Raises:
            ValueError: if chains should have batches of their own that cannot be.
        """
        self.config, self.dataset, self.ranks = config, dataset, ranks
        self.chains = chains
        self.sampler = self._build_sampler(config.sampler, config.seed)
        self.evidence = self._build_evidence()
        self.drawn = torch.empty(0, dtype=torch.int64)
        """The last batch's trajectories, of all processes."""
        self._visited = np.zeros(len(dataset), bool)

    def _build_sampler(
        self, config: SamplerConfig, seed: int, ends: bool = False
    ) -> TrajectorySampler:
        return TrajectorySampler(
            self.dataset,
            config,
            context=self.config.model.context,
            seed=seed,
            shard=(self.ranks.rank, self.ranks.count),
            owned=self.chains is not None,
            ends=ends,
        )

    def _build_evidence(self) -> TrajectorySampler | None:
        """Return what draws the chains' own batches, where they have some."""
        posterior = self.config.posterior
        if self.chains is None or not posterior.trajectories:
            return None
        if self.config.evidence_ends and not posterior.segments:
            raise ValueError(
                "posterior.segments=0 shows chains whole trajectories, and proposal.view is end: "
                "set posterior.segments, or proposal.view to whole"
            )
        if posterior.trajectories > len(self.dataset):
            raise ValueError(
                f"posterior.trajectories={posterior.trajectories}, but {self.dataset.provenance.id}"
                f" has {len(self.dataset)} trajectories: set it to {len(self.dataset)} or less"
            )
        config = replace(
            self.config.sampler,
            batch_trajectories=posterior.trajectories,
            segments=posterior.segments,
            segment_steps=posterior.segment_steps,
        )
        return self._build_sampler(config, self.config.seed + 1, self.config.evidence_ends)

    def to_infer(self) -> Batch:
        """Return this process's part of the next batch whose plans are inferred."""
        if self.evidence is None:
            return self._seen(self.sampler.next())
        index = self.evidence.draw()
        self._visited[index] = True
        return self._seen(self.evidence.resegment(index))

    def to_learn(self, updates: int) -> Batch | None:
        """Return the batch of parameters `[B]` that comes after `to_infer`, if it is another one.

        The plans to learn it at are those that its chains then hold.
        """
        if self.evidence is None or updates < self.config.posterior.warmup:
            return None
        return self._seen(self.sampler.resegment(self.sampler.draw(self._visited)))

    def fresh(self, batch: Batch) -> Batch:
        """Return other segments of a batch's trajectories."""
        return self.sampler.resegment(batch.drawn)

    def state(self) -> dict[str, Any]:
        """Return what the next batch depends on, as plain JSON values."""
        own = {} if self.evidence is None else {"evidence": self.evidence.state_dict()}
        return {"sampler": self.sampler.state_dict(), **own}

    def load_state(self, values: Mapping[str, Any], visits: Tensor | None) -> None:
        """Continue from `state`.

        Args:
            values: holds what `state` gave.
            visits: `[trajectories]` how often each chain has been visited, where there are chains.
        """
        self.sampler.load_state_dict(values["sampler"])
        if self.evidence is not None:
            assert visits is not None
            self.evidence.load_state_dict(values["evidence"])
            self._visited = visits.cpu().numpy() > 0

    def _seen(self, batch: Batch) -> Batch:
        self.drawn = batch.drawn
        return batch
