"""`goal`: the generator prompted with the trajectory's end, all that a plan could tell in a maze.

A trajectory of Maze2D is described by where it goes. So this baseline is meant as the upper bound
of what any plan could tell there. In learning the prompt is a function of the trajectory's own held
end (`lpt.data.held`), which no policy knows beforehand. At test time it is that of the mean end of
the data's trajectories whose labels are nearest to the target (`lpt.model.goal.KnownEnds`): from
the data alone, without a look at the environment or at what was earned in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lpt.algorithms.algorithm import Inference, LearningContext
from lpt.algorithms.prompted import Prompted, Prompts
from lpt.config import ModelConfig
from lpt.data import TrajectoryDataset
from lpt.data.held import held_ends
from lpt.model import ConditionedTransformer, GoalTransformer, Spaces


@dataclass(frozen=True, kw_only=True)
class Goal(Prompted):
    """The baseline that is told where to go."""

    reads_return: bool = True
    """The return asked for decides which ends are averaged."""

    def build(self, config: ModelConfig, spaces: Spaces) -> GoalTransformer:
        """Return a new model."""
        return GoalTransformer(config, spaces)

    def training_data(self, dataset: TrajectoryDataset) -> TrajectoryDataset:
        """Return all data as they are.

        Raises:
            ValueError: if all ends hold whole numbers only, such as a board's cells, so that their
                mean is no observation.
        """
        ends = held_ends(dataset)
        if np.array_equal(ends, np.rint(ends)):
            raise ValueError(
                "--algorithm goal prompts with the mean of trajectories' last observations, and "
                f"those of {dataset.provenance.where} hold whole numbers only, such as a board's "
                "cells, whose mean is no observation: it is for continuous ones; choose another "
                "baseline, such as dt-final"
            )
        return dataset

    def inference(self, context: LearningContext) -> Inference:
        """Return prompts by the trajectories' own ends, and let the model know the data's."""
        data = context.dataset
        raw = (held_ends(data) - data.observation_mean) / data.observation_std
        labels = (data.returns - data.return_mean) / data.return_std
        ends = torch.from_numpy(raw).to(context.device)
        context.model.known_ends.learn(ends, torch.from_numpy(labels).to(ends))
        return Prompts(context.model, lambda batch: ends[batch.index])

    def condition(self, model: ConditionedTransformer, targets: Tensor) -> Tensor:
        """Return the mean ends `[B, obs]` that the data know for standardized targets `[B]`."""
        assert isinstance(model, GoalTransformer)
        ends: Tensor = model.known_ends(targets)
        return ends
