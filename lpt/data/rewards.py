"""Rewards that data pay for as long as something is reached, and evaluation pays only once.

D4RL's kitchen files, and Minari's, hold at each step how many of the four subtasks are done *by
then* (they were recorded with `remove_task_when_completed=False`), while an evaluation pays 1 when
a subtask is done for the first time. Minari's antmaze episodes likewise go on at the goal and are
paid at each step there. Summed up, such rewards run to hundreds where an evaluation ends with 4 or
1, and no target would mean the same in both.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from lpt.data.blocks import select
from lpt.data.dataset import TrajectoryDataset


def pay_once(dataset: TrajectoryDataset, max_return: float) -> TrajectoryDataset:
    """Pay each trajectory where its reward rises above all that came before, and nowhere else.

    A trajectory that has reached `max_return` ends there, as an episode does. Its return becomes
    the largest number of things that were done at one time: if one was undone and another done
    afterwards, less than an evaluation would pay.

    Args:
        dataset: rewards count what is reached at each step.
        max_return: largest return of an episode.

    Returns:
        The data set itself if no trajectory's sum of rewards exceeds `max_return`: it pays once
        already.
    """
    offsets = dataset.offsets
    if np.add.reduceat(dataset.rewards, offsets[:-1]).max() <= max_return:
        return dataset
    rewards = np.empty_like(dataset.rewards)
    ends = offsets[1:].copy()
    terminated = dataset.terminated.copy()
    for i, (start, end) in enumerate(pairwise(offsets)):
        reached = np.maximum.accumulate(np.maximum(dataset.rewards[start:end], 0))
        rewards[start:end] = np.diff(reached, prepend=0)
        if reached[-1] >= max_return:
            ends[i] = start + np.argmax(reached >= max_return) + 1
            terminated[i] = True
    lengths = ends - offsets[:-1]
    kept = np.arange(len(rewards)) < np.repeat(ends, dataset.lengths)
    record = dataset.provenance
    paid = TrajectoryDataset.from_offsets(
        select(dataset.observations, kept),
        select(dataset.actions, kept),
        rewards[kept],
        np.concatenate([[0], np.cumsum(lengths)]),
        terminated,
        provenance=record,
        config=dataset.config,
        discrete=dataset.discrete,
        num_actions=dataset.num_actions,
    )
    dropped = "dropped_short_trajectories"  # before and now
    details = {
        **paid.provenance.details,
        dropped: record.details[dropped] + paid.provenance.details[dropped],
        "rewards": "paid once, where first reached",
    }
    return replace(paid, provenance=replace(paid.provenance, details=details))
